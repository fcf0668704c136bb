from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from certifair.gate import outputs
from certifair.gate.evaluate import GroupVerdict, PropertyResult
from certifair.gate.outputs.base import figure, printable, shorten
from certifair.spec.verdict import Verdict
from tests.gate.results import FAIL, HOSTILE, MIXED, PASS, POLICY, RESULTS, UNDECIDED, demand, render, result_of


def unwrapped(text: str) -> str:
    """A table's text without its borders, blanks and line breaks."""
    return re.sub(r"[\s│]", "", text)


# --- every output


def test_the_four_formats_are_found() -> None:
    assert set(outputs.names()) >= {"text", "json", "junit", "github"}
    with pytest.raises(KeyError):
        outputs.get("pdf")


@pytest.mark.parametrize("name", outputs.names())
@pytest.mark.parametrize("case", RESULTS)
def test_every_output_renders_every_result(name: str, case: str) -> None:
    output, result = outputs.get(name), RESULTS[case]
    text = output.render(result, HOSTILE, POLICY)
    assert output.name == name
    assert text == output.render(result, HOSTILE, POLICY)
    assert text.endswith("\n") or (text == "" and name == "github" and result)
    text.encode()  # no lone surrogate got through
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", text)
    if not result and name != "github":
        assert result.verdict.value in text


@pytest.mark.parametrize("name", [name for name in outputs.names() if name != "github"])
@pytest.mark.parametrize("hostile", ["::add-mask::x", "a\n::add-mask::x", "w " * 70 + "::add-mask::x"])
def test_no_line_is_a_command_of_github(name: str, hostile: str) -> None:
    bad = demand(hostile, FAIL, hostile, GroupVerdict(hostile, FAIL, hostile))
    bad = dataclasses.replace(bad, statement=hostile, claim=hostile, threshold=hostile, estimate=hostile)
    text = render(name, result_of(bad, subject=hostile, serial=hostile))
    assert not [line for line in text.splitlines() if line.lstrip().startswith("::")]


def test_outputs_import_neither_rich_nor_torch() -> None:
    code = "import sys, certifair.gate.outputs as o, certifair.gate.outputs.deliver as d; o.names(); "
    code += "print({'rich', 'torch', 'cvxpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"


def test_words() -> None:
    assert printable("a\tb\r\n", keep="\r\n") == "a\\tb\r\n"
    assert (shorten("abc", 3), shorten("abcd", 3)) == ("abc", "ab…")
    assert figure(demand("x", PASS)) == "0.04 [0.03, 0.061]"
    assert figure(PropertyResult("x", PASS, "", "")) == ""
    assert figure(PropertyResult("x", PASS, "", "", upper="1")) == "[?, 1]"


# --- text


def test_text_tells_property_groups_figure_and_verdict() -> None:
    text = render("text", MIXED)
    for words in ["loans 1.2", "00ff", "parity", "≤ 0.05", "0.04 [0.03, 0.061]", "too few people", "n = 12"]:
        assert words in text
    assert text.splitlines()[-1] == "verdict: FAIL: race-gap"
    assert all(len(line) <= 120 for line in text.splitlines())
    assert render("text", RESULTS["passed"]).endswith("\nverdict: PASS\n")
    assert render("text", RESULTS["nothing"]).endswith("\nverdict: UNDECIDED\n")


def test_text_names_the_first_violations_only() -> None:
    many = [demand(f"p{k}", FAIL) for k in range(5)]
    assert render("text", result_of(*many)).endswith("\nverdict: FAIL: p0, p1, p2 and 2 more\n")


def test_text_cuts_nothing_and_reads_no_markup() -> None:
    long = "[red]" + "".join(chr(0x4E00 + k) for k in range(300)) + ":smile:"
    text = render("text", result_of(demand(long, FAIL, long[::-1], GroupVerdict("sex = " + long, FAIL, "x" * 999))))
    assert "…" not in text.rpartition("verdict:")[0]
    columns = list(zip(*(line[1:-1].split("│") for line in text.splitlines() if line.startswith("│")), strict=True))
    assert long in unwrapped("".join(columns[1]))
    assert "sex=" + long in unwrapped("".join(columns[1]))
    assert long[::-1] in unwrapped("".join(columns[4]))
    assert unwrapped("".join(columns[4])).count("x") == 999


@pytest.mark.parametrize("name", ["FORCE_COLOR", "COLUMNS", "TERM"])
def test_text_ignores_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = render("text", MIXED)
    monkeypatch.setenv(name, "40")
    assert render("text", MIXED) == plain


# --- JSON


@pytest.mark.parametrize("case", RESULTS)
def test_json_holds_everything(case: str) -> None:
    result = RESULTS[case]
    found = json.loads(render("json", result))
    expected = dataclasses.asdict(result)
    expected["verdict"] = result.verdict.value
    for item in expected["properties"]:
        item["verdict"] = item["verdict"].value
        item["groups"] = [{**group, "verdict": group["verdict"].value} for group in item["groups"]]
    expected["properties"] = list(expected["properties"])
    assert found == expected


# --- JUnit


def counts(element: ET.Element) -> tuple[int, int, int]:
    """As declared, after checking them against what is there."""
    there = (len([*element.iter("testcase")]), len([*element.iter("failure")]), len([*element.iter("error")]))
    assert there == tuple(int(element.attrib[name]) for name in ("tests", "failures", "errors"))
    return there


def test_junit_has_a_testcase_for_every_property_and_group() -> None:
    root = ET.fromstring(render("junit", MIXED))
    assert counts(root) == (6, 1, 2)
    assert [counts(suite) for suite in root] == [(2, 0, 0), (1, 0, 1), (2, 1, 0), (1, 0, 1)]
    assert [suite.attrib["name"] for suite in root] == ["parity", "age-gap", "race-gap", "policy-registration"]
    assert [case.attrib["name"] for case in root[2]] == ["race = x", "race = y"]
    assert root[2][0][0].attrib["message"] == "0.07"
    assert "figure: 0.04 [0.03, 0.061]" in (root[2][0][0].text or "")
    assert root[3][0][0].attrib == {"type": "UNDECIDED", "message": "no registration"}
    assert not [*root.iter("skipped")]


@pytest.mark.parametrize("case", RESULTS)
def test_junit_is_green_only_if_the_gate_passed(case: str) -> None:
    tests, failures, errors = counts(ET.fromstring(render("junit", RESULTS[case])))
    assert tests
    assert (failures + errors == 0) is bool(RESULTS[case])
    assert (failures > 0) is (RESULTS[case].verdict is FAIL)


@pytest.mark.parametrize(
    ("verdict", "expected"), [(FAIL, (2, 1, 0)), (UNDECIDED, (2, 0, 1)), (PASS, (1, 0, 0))], ids=str
)
def test_junit_never_looks_better_than_the_property(verdict: Verdict, expected: tuple[int, int, int]) -> None:
    only_good_groups = demand("parity", verdict, "it is so", GroupVerdict("sex = f", PASS, ""))
    assert counts(ET.fromstring(render("junit", result_of(only_good_groups)))) == expected


def test_junit_never_looks_better_than_the_gate() -> None:
    odd = dataclasses.replace(RESULTS["passed"], verdict=UNDECIDED)
    assert counts(ET.fromstring(render("junit", odd))) == (2, 0, 1)


def test_junit_replaces_what_xml_forbids() -> None:
    root = ET.fromstring(render("junit", RESULTS["hostile"]))
    name = root[0].attrib["name"]
    assert name == printable(HOSTILE)
    assert all(part in name for part in ["a|b%25", "<script>", "\\n", "\\x00", "\\x1b[2J", "]]> & é→ü 漢"])
