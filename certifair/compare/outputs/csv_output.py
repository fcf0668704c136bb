"""CSV for programs: every run's every figure, and every cell."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, final

from certifair.compare.outputs.base import Output, basis_of
from certifair.compare.table import Table
from certifair.evidence.files import write_atomic
from certifair.spec.printable import printable

RUNS: Final = (
    *("data", "method", "seed", "property", "value", "lower", "upper", "basis", "verdict", "claim", "status", "reason"),
    *("folder", "seconds", "solver", "note", "caution", "versions"),
)
CELLS: Final = ("data", "method", "property", "n", "mean", "half", "lower", "upper", "basis", "text", "reason", "runs")
NOTHING: Final = "nan"
"""Where there is no number: every reader of floats knows it, and nobody takes it for 0."""
_FORMULA = re.compile(r"[=+@-].*[a-zA-Z(|!]", re.DOTALL)


@final
class CsvOutput(Output):
    """comparison.csv, a line for each run and property, and cells.csv. UTF-8, one line a record, numbers unrounded."""

    name = "csv"

    def write(self, table: Table, folder: Path) -> list[Path]:
        contents = {"comparison.csv": (RUNS, _runs(table)), "cells.csv": (CELLS, _cells(table))}
        for name, (head, rows) in contents.items():
            write_atomic(folder / name, _text(head, rows).encode())
        return [folder / name for name in contents]


def _runs(table: Table) -> Iterator[Sequence[str]]:
    for run in table.runs:
        packages = "; ".join(f"{package} {version}" for package, version in sorted(run.versions.items()))
        for item in table.properties:
            figure = run.figure(item.name)
            value, lower, upper = _number(figure.value), figure.lower or NOTHING, figure.upper or NOTHING
            basis = "none" if figure.value is None else basis_of(item, figure)
            yield (
                *(run.data, run.method, str(run.seed), item.name, value, lower, upper, basis),
                *(figure.verdict or "none", figure.claim or "", run.status, figure.reason or run.reason),
                *(run.folder, _number(run.seconds), run.solver, run.note, run.caution, packages),
            )


def _cells(table: Table) -> Iterator[Sequence[str]]:
    for cell in table.cells:
        figures = [_number(value) for value in (cell.mean, cell.half, cell.lower, cell.upper)]
        basis, runs = cell.basis if cell.n else "none", "; ".join(cell.runs)
        yield (cell.data, cell.method, cell.property, str(cell.n), *figures, basis, cell.text, cell.reason, runs)


def _number(value: float | None) -> str:
    return NOTHING if value is None else repr(float(value))


def _text(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    page = io.StringIO()
    writer = csv.writer(page, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_inert(text) for text in row] for row in rows)
    return page.getvalue()


def _inert(text: str) -> str:
    """One line, and no formula: a spreadsheet shows what follows an apostrophe and does not compute it."""
    shown = printable(text)
    return f"'{shown}" if _FORMULA.match(shown) else shown
