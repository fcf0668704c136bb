"""The comparison as data: what each run found, and one cell for each method, data set and property.

Every figure names what it rests on: a claim of the run's bundle, which `certify` derives again, or a measurement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, final

Status = Literal["done", "infeasible", "time limit", "failed", "crashed", "does not apply"]
CONFIDENCE: Final = 0.95


@final
@dataclass(frozen=True)
class Property:
    """A column. name: in files; title: for people; better: which way is better, "" if neither; digits: after the point.

    proven: whether its figures are claims, which hold for sure within their ends, or measurements.
    """

    name: str
    title: str
    better: Literal["higher", "lower", ""]
    proven: bool
    digits: int = 4
    unit: str = ""


@final
@dataclass(frozen=True)
class Figure:
    """One run's one property. value: None where there is none, and then `reason` says why.

    lower, upper: proven ends as decimal texts, None where nothing is proven on that side. verdict: the claim's, or
    "measured". claim: its id in the run's claims.json, None for a measurement.
    """

    property: str
    value: float | None
    lower: str | None = None
    upper: str | None = None
    verdict: str = "measured"
    reason: str = ""
    claim: str | None = None


@final
@dataclass(frozen=True)
class Run:
    """One method on one data set with one seed. folder: its evidence, relative to the comparison's folder.

    status: `done`, or why there is nothing; then `reason` says more. versions: of the packages that took part.
    """

    data: str
    method: str
    seed: int
    status: Status
    reason: str
    figures: tuple[Figure, ...]
    solver: str
    note: str
    versions: Mapping[str, str]
    seconds: float
    folder: str


@final
@dataclass(frozen=True)
class Cell:
    """One property of one method on one data set, over its seeds.

    n: runs with a figure. mean, half: the mean over them and half the width of its 95% t-interval (None for fewer than
    two different seeds). lower, upper: the worst proven ends over the runs. text: what a table shows, never empty.
    reason: what to know of it, above all why there is no figure. runs: the folders behind it.
    """

    data: str
    method: str
    property: str
    n: int
    mean: float | None
    half: float | None
    lower: float | None
    upper: float | None
    text: str
    reason: str
    runs: tuple[str, ...]


@final
@dataclass(frozen=True)
class Table:
    """All of it. sets, methods: in the order asked for; about: what was asked, and the machine, by name."""

    sets: Sequence[str]
    methods: Sequence[str]
    properties: Sequence[Property]
    cells: Sequence[Cell]
    runs: Sequence[Run]
    about: Mapping[str, str]

    def cell(self, data: str, method: str, name: str) -> Cell:
        """The one cell of these."""
        (found,) = (c for c in self.cells if (c.data, c.method, c.property) == (data, method, name))
        return found
