"""What every output is, and the words that they share. Names and reasons come from strangers: none is trusted."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar, Final

from certifair.compare.properties import CLAIMED
from certifair.compare.table import Basis, Cell, Figure, Property, Run, Table


class Output(ABC):
    """A form of the comparison: one or more files."""

    name: ClassVar[str]

    @abstractmethod
    def write(self, table: Table, folder: Path) -> list[Path]:
        """Write the files into the comparison's folder, each whole or not at all, and say which. Raises InputError."""


def has_figure(cell: Cell) -> bool:
    """Whether there is a number; what is infinite or not a number is none."""
    return cell.mean is not None and math.isfinite(cell.mean)


def best(table: Table, data: str, item: Property) -> frozenset[str]:
    """The methods whose rank is the best of the column, to the digits that are shown: what looks equal is equal.

    A cell that leaves runs out is never best, as those that went well may be those that were easy, nor is one with a
    caution: who decides everybody alike has no gap.
    """
    if not item.better:
        return frozenset()
    cells = [table.cell(data, method, item.name) for method in table.methods]
    ranks = {
        cell.method: round(cell.rank, item.digits)
        for cell in cells
        if cell.rank is not None and math.isfinite(cell.rank) and cell.n == len(cell.runs) and not cell.cautious
    }
    if not ranks:
        return frozenset()
    goal = (max if item.better == "higher" else min)(ranks.values())
    return frozenset(method for method, rank in ranks.items() if rank == goal)


def behind(table: Table, cell: Cell) -> list[tuple[Run, Figure]]:
    """Each run of the cell's method on its data set, with what it found of the property."""
    runs = [run for run in table.runs if (run.data, run.method) == (cell.data, cell.method)]
    return [(run, run.figure(cell.property)) for run in runs]


def heading(item: Property) -> str:
    """A column's title with its unit, or with the confidence that all of it has."""
    more = f"{float(CLAIMED):.0%} confidence" if item.basis == "confidence" else item.unit
    return f"{item.title} ({more})" if more else item.title


BASES: Final[Mapping[Basis, str]] = {
    "proven": "A claim, which certify derives again from a run's bundle; its ends hold for sure.",
    "confidence": "A claim, which certify derives again from a run's bundle; its ends hold with "
    f"{float(CLAIMED):.0%} confidence.",
    "measured": "A measurement.",
}


def meaning(item: Property) -> str:
    """How a column is to be read."""
    better = f"{item.better.capitalize()} is better." if item.better else ""
    return " ".join(filter(None, [item.meaning, BASES[item.basis], better]))


def ends(basis: Basis, lower: float | str | None, upper: float | str | None, runs: int = 1) -> str:
    """What is known of a figure, or of each of so many runs', and by what; empty where nothing is."""
    if lower is None and upper is None:
        return ""
    words = "proven" if basis == "proven" else f"with {float(CLAIMED):.0%} confidence"
    words = "measured" if basis == "measured" else words
    words += " for each run" if runs > 1 else ""
    if lower is None or upper is None:
        return f"{words}: at {'most' if lower is None else 'least'} {upper if lower is None else lower}"
    return f"{words}: {lower}" if lower == upper else f"{words}: {lower} to {upper}"


def basis_of(item: Property, figure: Figure) -> Basis:
    """What the ends of one run's figure rest on: only a claim's can be derived again."""
    return "measured" if figure.claim is None else item.basis


CHECK: Final = "certifair certify RUN/bundle --key key.pem --out X.certificate.json"
"""What a stranger calls, with a key of her own (`certifair keygen`)."""


def solvers(table: Table, method: str) -> str:
    """What the method's runs were solved with."""
    return "; ".join(_distinct(run.solver for run in table.runs if run.method == method)) or "none"


def versions(table: Table) -> list[str]:
    """Every package that took part in a run, with its version; twice if two versions did."""
    pairs = {(package, version) for run in table.runs for package, version in run.versions.items()}
    return [f"{package} {version}" for package, version in sorted(pairs)]


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))
