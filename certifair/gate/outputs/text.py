"""A table for people, the same on a terminal and in a log file."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, final

from certifair.gate.evaluate import GateResult, PropertyResult
from certifair.gate.outputs.base import Output, figure, printable, shorten
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 120
NAMED = 3  # properties that the last line names


@final
class TextOutput(Output):
    """One row a property, beneath it the groups that did not pass, and the verdict in the last line. No colours."""

    name = "text"

    def render(self, result: GateResult, policy_path: str, policy_text: str) -> str:
        from rich.console import Console

        page = io.StringIO()
        console = Console(file=page, width=WIDTH, color_system=None, force_terminal=False, force_jupyter=False)
        console.print(_table(result))
        # No line starts with a stranger's words: in a log, GitHub would obey `::…`.
        head = f"subject: {printable(result.subject)}, certificate {printable(result.serial)}"
        return f"{head}\n{page.getvalue()}{_last_line(result)}\n"


def _table(result: GateResult) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SQUARE, width=WIDTH)
    table.add_column("verdict", width=len(Verdict.UNDECIDED.value))
    # Ratios, not contents: one very long name must not squeeze the other columns away.
    for title, ratio in [("property", 24), ("demand", 11), ("figure", 23), ("reason", 36)]:
        table.add_column(title, ratio=ratio, overflow="fold")
    for item in result.properties:
        _add(table, item)
    return table


def _add(table: Table, item: PropertyResult) -> None:
    from rich.padding import Padding
    from rich.text import Text

    def cell(text: str) -> Text:
        return Text(printable(text), overflow="fold")

    verdict = cell(item.verdict.value)
    table.add_row(verdict, cell(item.id), cell(item.threshold or ""), cell(_brief(item)), cell(item.reason))
    for group in item.groups:
        if group.verdict is Verdict.PASS:
            continue
        name = Padding(cell(group.name), (0, 0, 0, 2))
        table.add_row(cell(group.verdict.value), name, "", "", cell(group.reason))


def _brief(item: PropertyResult) -> str:
    """The figure with at most six digits after the point (three after five zeros), an exact one without interval."""
    text = re.sub(r"\b0\.0{9}\d+", "<1e-9", figure(item))
    text = re.sub(r"(\.(?:0{5,}\d{3}|\d{6}))\d+", r"\1…", text)
    ends = {(item.estimate or "")[:-1], (item.lower or "")[:-1], (item.upper or "")[:-1]}
    return text.split(" [")[0] if len(ends) == 1 else text


def _last_line(result: GateResult) -> str:
    guilty = [shorten(printable(item.id), 80) for item in result.properties if item.verdict is result.verdict]
    line = f"verdict: {result.verdict.value}"
    if result.verdict is Verdict.PASS or not guilty:
        return line
    more = f" and {len(guilty) - NAMED} more" if len(guilty) > NAMED else ""
    return f"{line}: {', '.join(guilty[:NAMED])}{more}"
