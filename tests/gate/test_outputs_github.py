from __future__ import annotations

import re

import pytest

from certifair.gate.outputs.base import printable
from certifair.gate.outputs.github import GithubOutput
from tests.gate.results import FAIL, HOSTILE, MIXED, PASS, RESULTS, UNDECIDED, demand, render, result_of


def unescaped(text: str) -> str:
    for code, letter in [("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")]:
        text = text.replace(code, letter)
    return text


def commands(text: str) -> list[tuple[str, dict[str, str], str]]:
    """Every line as the runner reads it: command, properties, message."""
    found = []
    for line in text.split("\n")[:-1]:
        head, properties, message = re.fullmatch(r"::(error|warning) (.*?)::(.*)", line).groups()  # type: ignore[union-attr]
        pairs = dict(pair.split("=", 1) for pair in properties.split(","))
        found.append((head, {key: unescaped(value) for key, value in pairs.items()}, unescaped(message)))
    return found


def test_github_points_at_the_policys_lines_violations_first() -> None:
    found = commands(render("github", MIXED))
    assert [head for head, _, _ in found] == ["error", "warning", "warning"]
    assert found[0][1] == {"file": "certifair.toml", "line": "11", "title": "FAIL: race-gap"}
    assert found[0][2].startswith("0.07 > 0.05\ndemanded ≤ 0.05, found 0.04 [0.03, 0.061]\n")
    assert [properties["line"] for _, properties, _ in found] == ["11", "9", "1"]
    assert render("github", RESULTS["passed"]) == ""
    assert [head for head, _, _ in commands(render("github", RESULTS["nothing"]))] == ["warning"]


@pytest.mark.parametrize(
    "policy",
    [
        '[[property]]\r\nid = "x:y"\r\n',
        '\n[[tool.certifair.property]] \nid="x:y"',
        "[data]\n[['property']]\n\tid = 'x:y'",
    ],
)
def test_github_finds_the_line_however_it_is_written(policy: str) -> None:
    line = next(number for number, text in enumerate(policy.split("\n"), 1) if "x:y" in text)
    ((_, properties, _),) = commands(render("github", result_of(demand("x:y", FAIL)), policy=policy))
    assert properties["line"] == str(line)


def test_github_escapes() -> None:
    text = render("github", result_of(demand("a:b,c%\r\nd", FAIL, "50%\r\n::x, y")), path="a,b:c%.toml")
    assert text.startswith(
        "::error file=a%2Cb%3Ac%25.toml,line=1,title=FAIL%3A a%3Ab%2Cc%25%0D%0Ad::50%25%0D%0A::x, y%0A"
    )
    assert text.count("\n") == 1
    found = commands(render("github", RESULTS["hostile"], path=HOSTILE))
    assert len(found) == 2
    assert found[0][1]["file"] == printable(HOSTILE, keep="\r\n")


def test_github_shows_ten_at_most_violations_first_and_says_how_many_more() -> None:
    undecided = [demand(f"u{k}", UNDECIDED) for k in range(20)]
    failed = [demand(f"f{k}", FAIL) for k in range(7)]
    found = commands(render("github", result_of(*undecided, *failed)))
    assert [head for head, _, _ in found] == ["error"] * 7 + ["warning"] * 3
    assert found[7][1]["title"] == "UNDECIDED: u0"
    assert found[-1][2].endswith("\n17 more did not pass: see the job summary")
    exactly = commands(render("github", result_of(*[demand(f"f{k}", FAIL) for k in range(10)])))
    assert len(exactly) == 10
    assert "more did not pass" not in exactly[-1][2]


def test_summary_is_a_table_of_five_columns() -> None:
    text = GithubOutput().summary(MIXED)
    assert text.startswith("## certifair: FAIL\n")
    rows = [line for line in text.split("\n") if line.startswith("|")][2:]
    assert [row.split(" | ")[:2] for row in rows] == [
        ["| FAIL", "race-gap"],
        ["| FAIL", "↳ race = x"],
        ["| UNDECIDED", "age-gap"],
        ["| UNDECIDED", "↳ age = old"],
        ["| UNDECIDED", "policy-registration"],
        ["| PASS", "parity"],
    ]
    assert "0.04 &#91;0.03, 0.061&#93;" in rows[0]


def test_summary_escapes_cells() -> None:
    text = GithubOutput().summary(RESULTS["hostile"])
    rows = [line for line in text.split("\n") if line.startswith("|")]
    assert {row.count("|") for row in rows} == {6}
    assert "<" not in text
    assert "](" not in text
    assert "a&#124;b%25 50% &lt;script&gt;alert(1)&lt;/script&gt;&#92;n::error::" in text


@pytest.mark.parametrize("reason", ["", "ü" * 3000, "|" * 3000])
def test_summary_stays_below_a_mebibyte_and_says_so(reason: str) -> None:
    huge = result_of(*[demand(f"p{k}", PASS, reason) for k in range(49_999)], demand("bad", FAIL, reason))
    text = GithubOutput().summary(huge)
    assert 500_000 < len(text.encode()) < 950_000
    rows = text.count("\n| PASS") + text.count("\n| FAIL")
    assert text.endswith(f"\n{50_000 - rows} of 50000 rows are left out: the summary would be too long.\n")
    assert "\n| FAIL | bad |" in text
