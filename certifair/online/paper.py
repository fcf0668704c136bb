"""The online algorithm of the layer's paper: a multiplier a row, which rises while the row is violated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np

from certifair.errors import InputError
from certifair.evidence.canonical import MAX_INTEGER
from certifair.exact.decimals import format_decimal
from certifair.layer.fairness_layer import Number
from certifair.online._ascent import serve
from certifair.online.base import Demand, Online, Record, as_given, decimal_number, read_scores
from certifair.online.people import People
from certifair.spec import Json

ABSENT = ("skip", "zero")


@final
@dataclass(frozen=True)
class PrimalDualState:
    """`step`: of the last batch in which something moved, 0 before the first; `multipliers` (K,), λ ≥ 0 of each row."""

    step: int
    multipliers: tuple[float, ...]


@final
class PrimalDual(Online[PrimalDualState]):
    """Troxell, Roemer, Montúfar (ICML 2026), with one multiplier λ_k for each row.

    A batch of b people is served the y in the box that minimises ‖y − z‖² + b Σ_k λ_k |a_k·y|, rounded to the grid;
    k runs over the rows that **count**, those with somebody in each of their cells, and a_k·y is the difference of the
    two means. Then, with gap_k = |a_k·y| of the rounded y and η = eta0/√step,

        λ_k ← max(0, λ_k + η b (gap_k − ε)).

    `metric`, `features`, `values`, `intersectional`, `condition`: as `People.of` takes them. `epsilon`, `lower`,
    `upper`, `eta0`: decimals, as they are written. `absent` says what happens to a row that does not count: "skip"
    leaves it alone (and the step, where none counts); "zero" moves it as if its gap were 0, which is what the paper's
    own package does. For one attribute of two groups there is one row, and with "zero" this is that package's rule; for
    several it has a single λ for the largest gap, here each row has its own.

    **What is guaranteed.** Take a row, and the batches t = 1 … T in which it counts, with v_t = b_t (gap_t − ε).

    1. max(0, x) ≥ x, so λ_{t+1} − λ_t ≥ η_t v_t, that is v_t ≤ (λ_{t+1} − λ_t)/η_t. Between them λ stays as it is.
    2. Summed by parts: Σ v_t ≤ λ_{T+1}/η_T − λ_1/η_1 + Σ_{t≥2} λ_t (1/η_{t−1} − 1/η_t).
    3. η never grows and λ ≥ 0, so no term of the last sum is positive: Σ v_t ≤ λ_{T+1}/η_T − λ_1/η_1.
    4. So the average gap of these batches, weighted by people, is at most ε + λ_{T+1}/(η_T Σ b_t).
    5. For one row of two groups a large λ closes the gap: from λ_1 = 0, with W the width of box or scores, whichever is
       wider, λ never exceeds max(W/2, eta0 b (W − ε)) for the largest b, and the excess in 4 shrinks like √T/Σ b_t.
       With several overlapping rows no such bound on λ is claimed: read λ_{T+1} off the log.

    Nothing here depends on how well y minimises: 1 to 4 hold for whatever was served, and λ is a function of the logged
    predictions alone, float by float (certificates/README.md 12.4). The solution, good to about 1e-9 of the box, only
    matters for 5, and for changing scores no more than needed. Floats add at most Σ|δ_t|/η_t to 3, where δ_t is what
    rounding did to λ, some 1e-16 of it.

    **What is not.** Not that any batch satisfies a row. Nothing about the people in batches where a row does not count:
    of batches of one all of them; and with "zero" those pay in for the others, so that only the sum with gap 0 for
    them is bounded. And not the **pooled gap**, the difference of means over all people served: means of batches do not
    average to means of groups where their shares vary from batch to batch, and it can be several times ε while the
    weighted average is within it. `PooledPrimalDual` steers that one.
    """

    name = "paper"

    def __init__(  # noqa: PLR0913 — options by name
        self,
        metric: str,
        epsilon: Number,
        lower: Number = 0,
        upper: Number = 1,
        *,
        features: Sequence[str],
        values: Mapping[str, Sequence[Any]],
        intersectional: bool = False,
        condition: str | None = None,
        eta0: Number = "0.5",
        absent: Literal["skip", "zero"] = "skip",
    ) -> None:
        people = People.of(metric, features=features, values=values, intersectional=intersectional, condition=condition)
        self.demand = Demand.of(people, epsilon, lower, upper)
        self.eta0 = decimal_number(eta0, "eta0")
        if self.eta0 <= 0:
            raise InputError(f"eta0 = {eta0!r} is not positive", where="online")
        if absent not in ABSENT:
            raise InputError(f"absent = {absent!r} is not 'skip' or 'zero'", where="online")
        self.absent = absent
        self._columns = ("step", "eta", *(f"multiplier.{name}" for name in people.row_names))
        self._pairs = people.pairs.tolist()
        self._rows = np.array([[a, b, people.cells[a].partition] for a, b in self._pairs], dtype=np.int64)
        self._grid = (*self.demand.grid.box, self.demand.grid.scale)
        self._epsilon, self._eta0 = float(self.demand.epsilon), float(self.eta0)

    def init(self) -> PrimalDualState:
        return PrimalDualState(0, (0.0,) * len(self._pairs))

    def step(
        self, state: PrimalDualState, scores: Any, sensitive_features: Any, conditions: Any = None
    ) -> tuple[PrimalDualState, Any, Record]:
        people, multipliers = self.demand.people, state.multipliers
        if len(multipliers) != len(self._pairs):
            what = f"the state has {len(multipliers)} multipliers, not {len(self._pairs)}"
            raise InputError(what, where="online", advice="take that of init(), load() or the last step")
        z = read_scores(scores)
        joint = people.encode(sensitive_features, conditions, len(z))
        limits = np.array([len(z) * value / 2 for value in multipliers])
        y, counts, sums = serve(z, joint, people.cell_of, self._rows, limits, len(people.cells), self._grid)
        gaps = self._gaps(counts.tolist(), sums.tolist())
        step = state.step + 1
        eta = self._eta0 / math.sqrt(step)
        record = Record(
            len(z),
            tuple(name for name, gap in zip(people.row_names, gaps, strict=True) if gap is None),
            dict(zip(self._columns, (step, eta, *multipliers), strict=True)),
        )
        return self._moved(state, step, eta, gaps, len(z)), as_given(y, scores), record

    def _gaps(self, people: list[int], sums: list[list[int]]) -> list[float | None]:
        """Of each row the float nearest to its exact gap (Python divides integers so); None if it does not count."""
        step = self.demand.grid.step
        totals = [(high << 20) + low for high, low in zip(*sums, strict=True)]
        return [
            abs(totals[a] * people[b] - totals[b] * people[a])
            * step.numerator
            / (people[a] * people[b] * step.denominator)
            if people[a] and people[b]
            else None
            for a, b in self._pairs
        ]

    def _moved(
        self, state: PrimalDualState, step: int, eta: float, gaps: Iterable[float | None], people: int
    ) -> PrimalDualState:
        """certificates/README.md 12.4, operation by operation."""
        following, moved, b = [], False, float(people)
        for multiplier, gap in zip(state.multipliers, gaps, strict=True):
            if gap is None and self.absent == "skip":
                following.append(multiplier)
                continue
            moved = True
            following.append(max(0.0, multiplier + eta * (b * ((gap or 0.0) - self._epsilon))))
        return PrimalDualState(step, tuple(following)) if moved else state

    def description_from(self, state: PrimalDualState) -> Json:
        return {
            "name": self.name,
            **self.demand.description,
            "eta0": format_decimal(self.eta0),
            "absent": self.absent,
            "start": {"step": state.step, "multipliers": [value.hex() for value in state.multipliers]},
        }

    def dump(self, state: PrimalDualState) -> Json:
        return self.description_from(state)

    def load(self, dumped: Json) -> PrimalDualState:
        try:
            step, texts = dumped["start"]["step"], dumped["start"]["multipliers"]
            state = PrimalDualState(step, tuple(float.fromhex(text) for text in texts))
        except (KeyError, TypeError, ValueError, OverflowError):
            raise InputError("this is no state of this algorithm", where="online") from None
        if type(step) is not int or not 0 <= step < MAX_INTEGER or len(state.multipliers) != len(self._pairs):
            raise InputError("the state's step or number of multipliers is wrong", where="online")
        if not all(math.isfinite(value) and math.copysign(1.0, value) > 0 for value in state.multipliers):
            raise InputError("a multiplier is negative or not finite", where="online")
        own = self.description_from(state)
        if dumped != own:
            other = sorted(key for key in {*dumped, *own} if dumped.get(key) != own.get(key))
            what = f"the state is another algorithm's: {other[0]} differs"
            raise InputError(what, where="online", advice="use the settings that it was saved with")
        return state
