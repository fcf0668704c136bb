from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from certifair.errors import InputError
from certifair.gate import outputs
from certifair.gate.evaluate import GateResult
from certifair.gate.outputs.deliver import deliver, parse_output
from certifair.gate.outputs.github import GithubOutput
from tests.gate.results import FAIL, MIXED, POLICY, demand, render, result_of

MIB = 2**20


def test_parse_output() -> None:
    assert parse_output("json") == ("json", None)
    assert parse_output("junit=out/a=b.xml") == ("junit", Path("out/a=b.xml"))


@pytest.mark.parametrize(
    ("text", "advice"), [("jsn", "'json'"), ("junti=x", "'junit'"), ("", "known: "), ("json=", "json=FILE")]
)
def test_parse_output_refuses(text: str, advice: str) -> None:
    with pytest.raises(InputError, match=re.escape(advice)) as caught:
        parse_output(text)
    assert caught.value.exit_code == 2


def send(*specs: tuple[str, Path | None], result: GateResult = MIXED, summary: Path | None = None) -> str:
    stdout = io.StringIO()
    deliver(result, specs, "certifair.toml", POLICY, stdout=stdout, step_summary=summary)
    return stdout.getvalue()


def test_files_and_standard_output(tmp_path: Path) -> None:
    written = send(("text", None), ("json", tmp_path / "a.json"), ("junit", tmp_path / "a.xml"), ("github", None))
    assert written == render("text", MIXED) + render("github", MIXED)
    assert (tmp_path / "a.json").read_text() == render("json", MIXED)
    assert (tmp_path / "a.xml").read_text() == render("junit", MIXED)
    assert len([*tmp_path.iterdir()]) == 2
    assert send() == ""


def test_summary_is_appended_and_only_with_github(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    send(("text", None), summary=summary)
    assert not summary.exists()
    send(("github", None), summary=summary)
    assert summary.read_text() == GithubOutput().summary(MIXED)
    summary.write_text("earlier")
    send(("github", tmp_path / "log"), summary=summary)
    assert summary.read_text() == "earlier\n" + GithubOutput().summary(MIXED)


@pytest.mark.parametrize("before", [600_000, MIB - 1000])
def test_summary_counts_what_earlier_commands_wrote(tmp_path: Path, before: int) -> None:
    summary = tmp_path / "summary.md"
    summary.write_bytes(b"x" * before)
    send(
        ("github", tmp_path / "log"), result=result_of(*[demand(f"p{k}", FAIL) for k in range(20_000)]), summary=summary
    )
    assert before <= summary.stat().st_size < MIB
    assert summary.read_bytes().startswith(b"x" * before)


@pytest.mark.parametrize("where", ["absent/b.json", "folder", "file/b.json", "a.json", "n" * 300 + "/b.json"])
def test_nothing_is_written_if_one_file_cannot_be(tmp_path: Path, where: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("intact")
    (tmp_path / "a.json").write_text("intact")
    summary = tmp_path / "summary.md"
    stdout = io.StringIO()
    specs = [("json", tmp_path / where), ("github", None), ("text", tmp_path / "a.json")]
    with pytest.raises(InputError, match=re.escape(where)):
        deliver(MIXED, specs, "p", "", stdout=stdout, step_summary=summary)
    assert stdout.getvalue() == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "file", "folder"]
    assert (tmp_path / "a.json").read_text() == (tmp_path / "file").read_text() == "intact"


def test_a_summary_that_cannot_be_written_is_an_input_error(tmp_path: Path) -> None:
    for summary in [tmp_path, tmp_path / "absent" / "summary.md", tmp_path / ("n" * 300)]:
        with pytest.raises(InputError):
            send(("github", None), summary=summary)


def test_a_stream_without_unicode_is_no_crash() -> None:
    raw = io.BytesIO()
    stdout = io.TextIOWrapper(raw, encoding="ascii")
    deliver(MIXED, [(name, None) for name in outputs.names()], "p", "", stdout=stdout, step_summary=None)
    stdout.flush()
    assert b"\\u2264 0.05" in raw.getvalue()
