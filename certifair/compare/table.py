"""The comparison as data: what each run found, and one cell for each method, data set and property.

Every figure names what it rests on: a claim of the run's bundle, which `certify` derives again, or a measurement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, final

Status = Literal["done", "infeasible", "time limit", "failed", "crashed", "does not apply"]
Basis = Literal["proven", "confidence", "measured"]
"""Why ends hold: for sure, with a claim's confidence, or as far as the measurement goes."""
CONFIDENCE: Final = 0.95
"""Of the intervals over seeds; a claim's own confidence is another (`certifair.compare.properties.CLAIMED`)."""


@final
@dataclass(frozen=True)
class Property:
    """A column. name: in files; title: for people; better: which way is better, "" if neither; digits: after the point.

    basis: what its claims' ends rest on; a figure without a claim is measured. meaning: how to read it, in sentences.
    ends: whether a cell is shown by its ends where these are apart; else it is shown by its mean.
    """

    name: str
    title: str
    better: Literal["higher", "lower", ""]
    basis: Basis
    meaning: str
    digits: int = 4
    unit: str = ""
    ends: bool = False


@final
@dataclass(frozen=True)
class Figure:
    """One run's one property. value: None where there is none, and then `reason` says why.

    lower, upper: its ends as decimal texts, None where nothing is known on that side. verdict: the claim's, "measured",
    or "" where nothing was claimed. claim: its id in the run's claims.json, None for a measurement.
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

    status: `done`, or why there is nothing; then `reason` says more. caution: why it should not be compared without a
    second look. versions: of the packages that took part.
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
    caution: str = ""

    def figure(self, name: str) -> Figure:
        """Of that property; one without a value, with the run's reason, where the run has none."""
        nothing = Figure(name, None, verdict="", reason=self.reason)
        return next((figure for figure in self.figures if figure.property == name), nothing)


@final
@dataclass(frozen=True)
class Cell:
    """One property of one method on one data set, over its seeds.

    n: runs with a figure. mean, half: the mean over them and half the width of its 95% t-interval (None for fewer than
    two runs). lower, upper: the worst ends over the runs, and basis: what these rest on. rank: what it is compared and
    sorted by, None where that is not known. text: what a table shows, never empty. reason: what to know of it, above
    all why there is no figure. cautious: whether any run has a caution, so that it is never called the best. runs: the
    folders behind it, those without a figure too.
    """

    data: str
    method: str
    property: str
    n: int
    mean: float | None
    half: float | None
    lower: float | None
    upper: float | None
    basis: Basis
    rank: float | None
    text: str
    reason: str
    runs: tuple[str, ...]
    cautious: bool = False


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
        """The one cell of these. Errors: KeyError where there is none, ValueError where any two are of the same."""
        return self._places[data, method, name]

    @cached_property
    def _places(self) -> Mapping[tuple[str, str, str], Cell]:
        places = {(cell.data, cell.method, cell.property): cell for cell in self.cells}
        if len(places) < len(self.cells):
            raise ValueError("two cells are of the same data set, method and property")
        return places
