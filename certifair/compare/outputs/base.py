"""What every output is, and the words that they share. Names and reasons come from strangers: none is trusted."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from certifair.compare.table import Cell, Figure, Property, Run, Table


class Output(ABC):
    """A form of the comparison: one or more files."""

    name: ClassVar[str]

    @abstractmethod
    def write(self, table: Table, folder: Path) -> list[Path]:
        """Write the files into the comparison's folder, each whole or not at all, and say which. Raises InputError."""


def has_figure(cell: Cell) -> bool:
    """Whether there is a number to compare with others; what is infinite or not a number is none."""
    return cell.mean is not None and math.isfinite(cell.mean)


def best(table: Table, data: str, item: Property) -> frozenset[str]:
    """The methods whose mean is the best of the column, to the digits that are shown: what looks equal is equal."""
    if not item.better:
        return frozenset()
    cells = [table.cell(data, method, item.name) for method in table.methods]
    means = {cell.method: round(cell.mean, item.digits) for cell in cells if cell.mean is not None and has_figure(cell)}
    if not means:
        return frozenset()
    goal = (max if item.better == "higher" else min)(means.values())
    return frozenset(method for method, mean in means.items() if mean == goal)


def behind(table: Table, cell: Cell) -> list[tuple[Run, Figure]]:
    """Each run of the cell's method on its data set, with what it found of the property."""
    runs = [run for run in table.runs if (run.data, run.method) == (cell.data, cell.method)]
    return [(run, found(run, cell.property)) for run in runs]


def found(run: Run, name: str) -> Figure:
    """The run's figure of that property; one without a value, with the run's reason, where it has none."""
    for figure in run.figures:
        if figure.property == name:
            return figure
    return Figure(name, None, verdict="none", reason=run.reason or run.status)


def heading(item: Property) -> str:
    """A column's title with its unit."""
    return f"{item.title} ({item.unit})" if item.unit else item.title


def meaning(item: Property) -> str:
    """How a column is to be read."""
    kind = "a claim, derived again by certify, with proven ends" if item.proven else "measured"
    return f"{kind}; {item.better} is better" if item.better else kind


def solvers(table: Table, method: str) -> str:
    """What the method's runs were solved with."""
    return "; ".join(_distinct(run.solver for run in table.runs if run.method == method)) or "none"


def versions(table: Table) -> list[str]:
    """Every package that took part in a run, with its version; twice if two versions did."""
    pairs = {(package, version) for run in table.runs for package, version in run.versions.items()}
    return [f"{package} {version}" for package, version in sorted(pairs)]


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))
