"""GitHub Actions: annotations on the policy's lines, and a job summary in Markdown."""

from __future__ import annotations

import html
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from typing import final

from certifair.gate.evaluate import GateResult, PropertyResult
from certifair.gate.outputs.base import Output, figure, printable, shorten, worst_first
from certifair.spec.verdict import Verdict

ANNOTATIONS = 10  # GitHub shows ten errors and ten warnings a step, and drops the rest without a word
MESSAGE, TITLE = 4000, 200  # characters; GitHub takes 64 KiB and 255
SUMMARY_LIMIT = 900_000  # bytes; GitHub refuses the whole summary of a step beyond 1 MiB
CELL = 1000  # characters
_MARKDOWN = re.compile(r"[\\`*_\[\]|~$]")
_HEADER, _ID = re.compile(r"\s*\["), re.compile(r"\s*(id|'id'|\"id\")\s*=")
_PROPERTY = re.compile(r"\s*\[\[\s*([^\[\]]*\.)?\s*[\"']?property[\"']?\s*\]\]")


@final
class GithubOutput(Output):
    """At most ten annotations, violations first; nothing where all passed."""

    name = "github"

    def render(self, result: GateResult, policy_path: str, policy_text: str) -> str:
        guilty = _guilty(result)
        lines = _lines_of_ids(policy_text)
        shown = [
            _annotation(item, policy_path, lines.get(item.id, 1), 0 if number < ANNOTATIONS else len(guilty) - number)
            for number, item in enumerate(guilty[:ANNOTATIONS], 1)
        ]
        return "".join(f"{line}\n" for line in shown)

    def summary(self, result: GateResult, limit: int = SUMMARY_LIMIT) -> str:
        """The job summary: a table, violations first, of at most `limit` bytes; it says what it leaves out."""
        head = (
            f"## certifair: {result.verdict.value}\n\n{_cell(result.subject)}, certificate {_cell(result.serial)}\n\n"
            "| verdict | property | demand | figure | reason |\n| --- | --- | --- | --- | --- |\n"
        )
        return _fill(head, list(_rows(result)), limit)


def _guilty(result: GateResult) -> list[PropertyResult]:
    """The properties that did not pass, violations first; at least one unless the gate passed."""
    found = [item for item in worst_first(result) if item.verdict is not Verdict.PASS]
    if not found and result.verdict is not Verdict.PASS:
        return [PropertyResult("gate", result.verdict, "", "no property that was judged explains this verdict")]
    return found


def _annotation(item: PropertyResult, path: str, line: int, unseen: int) -> str:
    """One workflow command. `unseen` properties have no annotation of their own: the last one says so."""
    command = "error" if item.verdict is Verdict.FAIL else "warning"
    title = _in_property(shorten(f"{item.verdict.value}: {item.id}", TITLE))
    figures = f"demanded {item.threshold}, found {figure(item) or 'nothing'}" if item.threshold else ""
    message = shorten("\n".join(part for part in (item.reason, figures, item.statement) if part), MESSAGE)
    message += f"\n{unseen} more did not pass: see the job summary" if unseen else ""
    return f"::{command} file={_in_property(path)},line={line},title={title}::{_in_message(message)}"


def _in_message(text: str) -> str:
    """Escaped as the runner unescapes it; the percent sign first, or the escapes would be escaped."""
    return printable(text, keep="\r\n").replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _in_property(text: str) -> str:
    return _in_message(text).replace(":", "%3A").replace(",", "%2C")


def _lines_of_ids(policy_text: str) -> dict[str, int]:
    """The line of every property's `id`: a TOML reader for the value, a look at the headers for whose it is."""
    found: dict[str, int] = {}
    inside = False
    for number, line in enumerate(policy_text.split("\n"), 1):
        if _HEADER.match(line):
            inside = bool(_PROPERTY.match(line))
        elif inside and _ID.match(line):
            try:
                found.setdefault(str(tomllib.loads(line.rstrip())["id"]), number)
            except tomllib.TOMLDecodeError:  # part of a longer text, not a key
                continue
    return found


def _rows(result: GateResult) -> Iterator[tuple[str, ...]]:
    """A row for each property, and beneath it for each of its groups that did not pass."""
    for item in worst_first(result):
        yield item.verdict.value, item.id, item.threshold or "", figure(item), item.reason
        for group in item.groups:
            if group.verdict is not Verdict.PASS:
                yield group.verdict.value, f"↳ {group.name}", "", "", group.reason


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(_cell(text) for text in cells)} |\n"


def _cell(text: str) -> str:
    """Text that is nothing but text: no cell, line, tag, link or emphasis begins in it."""
    safe = html.escape(printable(shorten(text, CELL)), quote=False)
    return _MARKDOWN.sub(lambda match: f"&#{ord(match[0])};", safe)


def _fill(head: str, rows: Sequence[tuple[str, ...]], limit: int) -> str:
    """The head and as many rows as fit, and how many do not; empty if not even the head fits."""
    room = limit - len(head.encode()) - 100  # for the last sentence
    if room < 0:
        return ""
    fitting: list[str] = []
    for cells in rows:
        row = _row(cells)
        room -= len(row.encode())
        if room < 0:
            break
        fitting.append(row)
    left = len(rows) - len(fitting)
    note = f"\n{left} of {len(rows)} rows are left out: the summary would be too long.\n" if left else ""
    return head + "".join(fitting) + note
