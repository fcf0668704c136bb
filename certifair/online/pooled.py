"""Serving so that the gap over everybody served so far is never larger than ε, whatever the batches."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.layer.fairness_layer import Number
from certifair.online import _pooled_state
from certifair.online._pooled_state import PooledState
from certifair.online._pooled_step import remember, serve
from certifair.online.base import Demand, Online, Record, as_given, decimal_number, read_scores
from certifair.online.people import People
from certifair.spec import Json

__all__ = ["PooledPrimalDual", "PooledState", "WarmUp"]

_LONGEST = 1_000_000


@final
class WarmUp(NamedTuple):
    """People who are not served, training rows say: what `init` learns scores and shares from."""

    scores: Any
    sensitive_features: Any
    conditions: Any = None


@final
@dataclass(frozen=True, eq=False)
class _Settings:
    """What the compiled step takes beside batch and state; see `_pooled_cells` and `_pooled_step.serve`."""

    layout: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], int]
    shares: NDArray[np.float64]
    rule: tuple[tuple[float, float, float], float, tuple[int, int], float]


@final
class PooledPrimalDual(Online[PooledState]):
    """The pooled gap of every row is at most ε after every batch; scores are changed about as little as in hindsight.

    `metric`, `features`, `values`, `intersectional`, `condition`: as `People.of` takes them. `epsilon`, `lower`,
    `upper`: decimals, as they are written. `shares`: the share of each combination of values among the people to come,
    where it is known: from one value, or from a tuple of values (features in order, then the condition), to a number;
    they need not add up to 1. Otherwise they are the shares so far. `grace`: while n < `grace` people of a condition
    have been served, the batch under way included, gaps in it may be up to ε · `grace` / n; 0 for never. Means of a few
    people are mostly chance, and to hold them within ε is what costs most. Batches have any size, one person included.

    **What is guaranteed.** After every batch, in every row a − b whose cells both hold somebody,
    |S_a/n_a − S_b/n_b| ≤ ε, where S and n are sum of predictions and number of all people served since `init`: exactly,
    for any scores, any order of people, any sizes of batches. With a grace, it may be more as 2 and 6 say. In grid
    steps, with E = ⌊ε / step⌋, for each condition and each partition, which together are a *block*:

    1. The width W of a block: of the closest two grid points p ≤ q between which the means of all its groups lie that
       hold somebody, W = q − p. Two means differ by at most W steps. Nobody served: W = 0.
    2. Claim: after a batch with which n people of the condition have been served, W ≤ max(L(n), W before the batch),
       where L(n) = ⌊E · max(grace, n) / n⌋, which is E where n ≥ grace.
    3. Every batch is served in one of two ways. Either its predictions, on the grid, were added to the exact sums, and
       the claim was seen to hold, in integers (`_pooled_cells.within`). Or, as a last resort, everybody of the
       condition is served the same m = ⌊M⌋, M being the mean of all predictions of this condition before the batch, or
       if there are none, some grid point. The box's ends are grid points, so m is in the box.
    4. The last resort widens no block. Take its p, q from before the batch. Everybody served was in exactly one of its
       groups, so M is an average of their means: p ≤ M ≤ q, and p ≤ m, as p is a grid point. A group's new mean is an
       average of its old one and m, or m, if nobody was in it: in [p, q]. Where nobody had been served, all means are
       m. So the claim holds after every batch; people of other conditions are in other blocks.
    5. Without a grace, L(n) = E throughout. W is 0 at first, so by induction W ≤ E always: the gap is at most ε.
    6. With a grace: L only falls, so a width above L(n) was within it earlier, and never grew since. From the batch on
       with which n ≥ grace, no width above E ever grows, and one within E stays so: the gap is at most ε for good.
       That it gets there is what the plan is for, and no theorem: a group that nobody comes of again keeps its mean.

    None of this depends on how a batch was proposed, or on floats. `load` checks of the state that it reads that no
    width is above L(1).

    **What it wants to serve.** y = clip(z − the lifts of the person's cells): the form of the offline optimum, the
    projection of the whole stream onto the rows. The lifts are that optimum for the next H people, as the scores so far
    (or of the warm-up) foretell them, such that the rows, sums so far included, hold within ε after them (grace or not)
    with a margin for chance; the batch itself is the first of these people, so a large batch is projected by itself. H
    and margin are small against the people so far: excess is worked off soon, at a price that falls with n^(−2/3).
    Where this would break a row, now or by the time a rare group of the batch is expected again, the batch is projected
    onto the rows; if floats fail at that, it is pulled towards m.

    **What is not.** Two people of one cell with one score are served the same in one batch, not in two. Without a
    grace, in the first batches and when a new group appears, ε is narrow against chance, and predictions may be far
    from scores: with groups of N people and scores that spread by σ that lasts until N is about (σ/ε)². If ε is less
    than four grid steps (some 4e-12 of the box), everybody is served one number. Rows of single batches are not looked
    at.
    """

    name = "pooled"

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
        shares: Mapping[Any, Number] | None = None,
        grace: int = 0,
    ) -> None:
        people = People.of(metric, features=features, values=values, intersectional=intersectional, condition=condition)
        _check_rows(people)
        self.demand = Demand.of(people, epsilon, lower, upper)
        self.shares = None if shares is None else _shares(people, shares)
        self.grace = _grace(grace)
        self._settings = _settings(self.demand, self.shares, self.grace)

    def init(self, warm_up: WarmUp | None = None) -> PooledState:
        """The state before the first batch. Nobody of the warm-up counts as served. Raises InputError."""
        state = _pooled_state.empty(self.demand.people)
        if warm_up is None:
            return state
        z = read_scores(warm_up.scores)
        joint = self.demand.people.encode(warm_up.sensitive_features, warm_up.conditions, len(z))
        fresh = state.copies()
        remember(z, joint, self._settings.layout, fresh.scores, self._settings.rule)
        return fresh.frozen()

    def step(
        self, state: PooledState, scores: Any, sensitive_features: Any, conditions: Any = None
    ) -> tuple[PooledState, Any, Record]:
        people, settings = self.demand.people, self._settings
        if not state.fits(people):
            what = "the state is that of an algorithm with other groups"
            raise InputError(what, where="online", advice="take that of init(), load() or the last step")
        z = read_scores(scores)
        joint = people.encode(sensitive_features, conditions, len(z))
        fresh = state.copies()
        control = (fresh.lifts, fresh.spread, fresh.due, fresh.pace)
        steps, moved = serve(
            z, joint, settings.layout, fresh.sums, fresh.scores, control, settings.shares, settings.rule
        )
        grid = self.demand.grid
        predictions = (steps + grid.first) * float(grid.step)  # exact: at most 2⁴¹ times a power of two
        following = fresh.frozen(moved)
        return following, as_given(predictions, scores), Record(len(z), self._absent(following), {})

    def _absent(self, state: PooledState) -> tuple[str, ...]:
        """The rows with a cell that nobody served is in."""
        if state.sums[:, 0].all():
            return ()
        _, starts, members, _, _ = self._settings.layout
        inhabited = np.add.reduceat(state.sums[members, 0], starts[:-1]) > 0
        if inhabited.all():
            return ()
        missing = np.flatnonzero(~inhabited[self.demand.people.pairs].all(axis=1))
        return tuple(self.row_names[k] for k in missing.tolist())

    def gaps(self, state: PooledState) -> dict[str, Fraction]:
        """The pooled gap of every row whose cells both hold somebody, exactly."""
        _, starts, members, _, _ = self._settings.layout
        cells = [state.sums[members[begin:end]].sum(axis=0).tolist() for begin, end in itertools.pairwise(starts)]
        means = [Fraction((high << 20) + low, n) if n else None for n, high, low in cells]
        found = {}
        for name, (a, b) in zip(self.row_names, self.demand.people.pairs.tolist(), strict=True):
            first, second = means[a], means[b]
            if first is not None and second is not None:
                found[name] = abs(first - second) * self.demand.grid.step
        return found

    def description_from(self, state: PooledState) -> Json:
        return {"name": self.name, **self.demand.description}

    def dump(self, state: PooledState) -> Json:
        return {**self._own(), "state": _pooled_state.to_json(state, self.demand.grid.first)}

    def _own(self) -> Json:
        shares = None if self.shares is None else [str(share) for share in self.shares]
        return {"name": self.name, **self.demand.description, "shares": shares, "grace": self.grace}

    def load(self, dumped: Json) -> PooledState:
        own, given = self._own(), set(dumped)
        if given != {*own, "state"}:
            raise InputError("this is no state of this algorithm", where="online")
        if other := sorted(key for key in own if dumped[key] != own[key]):
            what = f"the state is another algorithm's: {other[0]} differs"
            raise InputError(what, where="online", advice="use the settings that it was saved with")
        grid = self.demand.grid
        found = _pooled_state.from_json(dumped["state"], self.demand.people, grid)
        most, grace = self._settings.rule[2]
        _pooled_state.check(found, self._settings.layout, most * max(grace, 1), grid)
        return found


def _check_rows(people: People) -> None:
    """Raises InputError unless each row compares the means of two groups of one partition and condition."""
    for row in people.rows:
        alike = {(cell.partition, cell.condition) for cell in row.cells}
        if row.residual or len(row.cells) != 2 or [*row.factors] != [1, -1] or len(alike) != 1:
            what = f"the row {row.name!r} of {people.metric.name} is no difference of two groups' means"
            raise InputError(what, where="online", advice="only such rows can be held over a stream")


def _shares(people: People, shares: Mapping[Any, Number]) -> tuple[Fraction, ...]:
    """The share of each joint cell; of those that are not named, none."""
    joint = {key: j for j, key in enumerate(itertools.product(*people.values.values()))}
    found = [Fraction(0)] * len(joint)
    if not isinstance(shares, Mapping):
        raise InputError("shares are a mapping from values to numbers", where="online")
    for key, share in shares.items():
        values = tuple(map(str, key)) if isinstance(key, tuple) else (str(key),)
        if values not in joint:
            what = f"shares name {key!r}, which is not declared"
            raise InputError(what, where="online", advice=f"give a value of each of {list(people.values)}, in order")
        found[joint[values]] = decimal_number(share, f"the share of {key!r}")
    if min(found) < 0 or not any(found):
        raise InputError("shares are not negative, and not all 0", where="online")
    return tuple(found)


def _grace(grace: object) -> int:
    if isinstance(grace, int) and not isinstance(grace, bool) and 0 <= grace <= _LONGEST:
        return grace
    raise InputError(f"grace = {grace!r} is no number of people from 0 to {_LONGEST}", where="online")


def _settings(demand: Demand, shares: Sequence[Fraction] | None, grace: int) -> _Settings:
    people, grid = demand.people, demand.grid
    conditions = 1 if people.condition is None else len(people.values[people.condition])
    inside = [np.flatnonzero((people.cell_of == c).any(axis=0)) for c in range(len(people.cells))]
    starts = np.cumsum([0, *map(len, inside)])
    keys = [(cell.partition, cell.condition) for cell in people.cells]
    blocks = [c for c in range(len(keys)) if c == 0 or keys[c] != keys[c - 1]]
    layout = (people.cell_of, starts, np.concatenate(inside), np.array([*blocks, len(keys)]), conditions)
    width = grid.last - grid.first
    tolerance = (min(int(demand.epsilon / grid.step), 2 * width), grace)
    rule = ((*grid.box, grid.scale), float(width), tolerance, float(demand.epsilon / (width * grid.step)))
    given = [-1.0] if shares is None else [float(share / sum(shares)) for share in shares]
    return _Settings(layout, np.array(given), rule)
