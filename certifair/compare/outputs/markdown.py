"""Markdown for people: one table a data set, and notes on every cell that needs one."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from pathlib import Path
from typing import final

from certifair.compare.outputs.base import CHECK, Output, best, has_figure, heading, meaning, solvers, versions
from certifair.compare.table import CONFIDENCE, Cell, Property, Table
from certifair.evidence.files import write_atomic
from certifair.spec.printable import printable

_ENTITIES = re.compile(r"[\\|$@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""Cells, formulas, and what GitHub makes a link of by itself."""
_MARKS = re.compile(r"[*_`~]|\[(?=\^)|\](?=[(\[])")
"""Emphasis, code, strike-through, footnotes, links. A bracket alone is none: intervals stay as they are."""


@final
class MarkdownOutput(Output):
    """comparison.md: methods as rows, properties as columns; the best of a column in bold."""

    name = "markdown"

    def write(self, table: Table, folder: Path) -> list[Path]:
        path = folder / "comparison.md"
        write_atomic(path, render(table).encode())
        return [path]


def render(table: Table) -> str:
    """The whole page."""
    notes: dict[str, int] = {}
    parts = ["# Comparison", _intro()]
    for data in table.sets:
        parts += [f"## {_plain(data)}", _grid(table, data, notes)]
    parts += ["\n".join(f"[^{number}]: {text}" for text, number in notes.items())] if notes else []
    parts += ["## What the columns mean", _meanings(table), "## How to check a figure", _CHECKING]
    parts += ["## How it was made", _made(table)]
    return "\n\n".join(parts) + "\n"


_CHECKING = (
    "Each run's folder RUN, named in comparison.csv, has the evidence in `bundle` and, in `claims.json`, what follows "
    "from it. Nobody has to believe the latter: with a key of your own (`certifair keygen`),\n\n"
    f"    {CHECK}\n\n"
    "derives the same claims from the bundle alone and signs them. A measurement is no claim: it is repeated by "
    "running the comparison again."
)


def _intro() -> str:
    return (
        f"- a ± b: mean over the seeds, and half its {CONFIDENCE:.0%} t-interval; no ± for one run or equal ones. "
        "Intervals may overlap.\n"
        "- a to b: ends that hold for each run; no spread over seeds\n"
        "- **bold**: the best of its column to the digits shown, by the mean or by the end on the bad side; never a "
        "mean that leaves runs out or an answer that calls for caution\n"
        "- A cell without a figure says why."
    )


def _grid(table: Table, data: str, notes: dict[str, int]) -> str:
    winners = {item.name: best(table, data, item) for item in table.properties}
    lines = [
        _row(["method", *(_plain(heading(item)) for item in table.properties)]),
        _row(["---", *("---:" for _ in table.properties)]),
    ]
    for method in table.methods:
        cells = [table.cell(data, method, item.name) for item in table.properties]
        shown = [_shown(cell, method in winners[cell.property], notes) for cell in cells]
        lines.append(_row([_plain(method), *shown]))
    return "\n".join(lines)


def _shown(cell: Cell, winner: bool, notes: dict[str, int]) -> str:
    """The cell's text, with a note where there is no figure or something to know; equal notes share a number."""
    text = f"**{_plain(cell.text)}**" if winner else _plain(cell.text)
    reason = cell.reason or ("" if has_figure(cell) else f"{cell.text}: no more is known")
    return f"{text}[^{notes.setdefault(_plain(reason), len(notes) + 1)}]" if reason else text


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _meanings(table: Table) -> str:
    def line(item: Property) -> str:
        return f"- **{_plain(heading(item))}** ({_plain(item.name)}): {_plain(meaning(item))}"

    return "\n".join(line(item) for item in table.properties)


def _made(table: Table) -> str:
    command = table.about.get("command")
    lines = [f"    {printable(command)}\n"] if command else []
    lines += [f"- {_plain(name)}: {_plain(text)}" for name, text in table.about.items() if name != "command"]
    lines += [f"- {_plain(method)} is solved with: {_plain(solvers(table, method))}" for method in table.methods]
    lines.append(f"- versions: {_plain(', '.join(versions(table)) or 'none recorded')}")
    lines.append("- evidence: each run's folder and figures are in comparison.csv")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Text that is nothing but text: no cell, line, tag, link, formula or emphasis begins in it."""
    safe = html.escape(printable(text), quote=False)
    return _MARKS.sub(r"\\\g<0>", _ENTITIES.sub(lambda mark: f"&#{ord(mark[0])};", safe))
