"""One batch of a fairness layer as exact data: who is in which joint cell, the rows, the box.

The layer P minimises ½‖y − z‖² over lower ≤ y ≤ upper and |A y − b| ≤ ε. A row is a combination of means of parts, a
part being a union of joint cells, so A is the same for everybody of one joint cell: A[k, i] = Σ factor/(people of the
part) over the parts of row k that hold i's joint cell. Whatever the layer does depends on each joint cell's scores in
order, and on exact sums over runs of them. A row with a part that nobody is in demands nothing, as in the layer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.exact.decimals import outward
from certifair.exact.sums import ExactSums, exact_sums
from certifair.spec.terms import Terms

if TYPE_CHECKING:
    from certifair.evidence.bundle import Evidence

Array = NDArray[np.float64]
Codes = NDArray[np.integer[Any]]
Vector = tuple[Fraction, ...]
_BLOCK: Final = 1024


@final
class Member(NamedTuple):
    """What people of one joint cell share: a group of each sensitive feature and, where rows have one, a condition."""

    groups: tuple[str, ...]
    condition: str | None = None


@final
@dataclass(frozen=True)
class LayerRow:
    """|Σ factor · mean of y (less that of the labels, if `residual`) over a part| ≤ epsilon; parts are joint cells."""

    name: str
    parts: tuple[tuple[int, ...], ...]
    factors: Vector
    residual: bool
    epsilon: Fraction


@final
@dataclass(frozen=True)
class System:
    """Rows as numbers: weights A (K, J) of one person of each joint cell, offsets b (K,) and epsilon (K,)."""

    rows: tuple[LayerRow, ...]
    weights: tuple[Vector, ...]
    offsets: Vector

    @functools.cached_property
    def epsilon(self) -> Vector:
        return tuple(row.epsilon for row in self.rows)

    def shifts(self, multipliers: Sequence[Fraction], cells: int) -> Vector:
        """Aᵀν (J,): by how much each joint cell is moved down."""
        used = [(nu, self.weights[k]) for k, nu in enumerate(multipliers) if nu]
        return tuple(sum((nu * row[j] for nu, row in used if row[j]), Fraction(0)) for j in range(cells))


@final
@dataclass(frozen=True, eq=False)
class People:
    """`scores` (n,), joint cell after joint cell, ascending in each; cell j is starts[j] to starts[j + 1].

    `order` (n,): the row of the batch that each stands for; `name`: what to call the person of a row of the batch.
    """

    scores: Array
    order: NDArray[np.int64]
    starts: tuple[int, ...]
    name: Callable[[int], str] = str

    @property
    def cells(self) -> int:
        return len(self.starts) - 1

    @functools.cached_property
    def counts(self) -> tuple[int, ...]:
        return tuple(b - a for a, b in pairwise(self.starts))

    def place(self, j: int, value: Fraction, *, after: bool) -> int:
        """Position of the first person of cell j whose score is ≥ value, or > value if `after`; exactly.

        A float is ≥ a rational if it is ≥ the least float that is, and > it if it is > the largest that is not.
        """
        part = self.scores[self.starts[j] : self.starts[j + 1]]
        try:
            limit = outward(value, -1 if after else 1)
        except OverflowError:
            limit = inf if value > 0 else -inf
        return self.starts[j] + int(np.searchsorted(part, limit, side="right" if after else "left"))

    def score(self, position: int) -> Fraction:
        return Fraction(float(self.scores[position]))

    def sums(self, starts: Sequence[int], stops: Sequence[int]) -> Vector:
        """Exact sums of the scores from positions starts[k] to stops[k] (excluded): whole blocks, and loose ends."""
        first, last = (np.array(a, dtype=np.int64) for a in (starts, stops))
        low, high = -(-first // _BLOCK), last // _BLOCK
        whole = low < high
        blocks = self._blocks.runs(1, np.where(whole, low, 0), np.where(whole, high, 0))
        ends = [(a, b) for a, b, w in zip(starts, stops, whole, strict=True) if not w]
        owner = [k for k, w in enumerate(whole) if not w]
        for k in np.flatnonzero(whole).tolist():
            ends += [(starts[k], int(low[k]) * _BLOCK), (int(high[k]) * _BLOCK, stops[k])]
            owner += [k, k]
        values = np.concatenate([self.scores[a:b] for a, b in ends])
        codes = np.repeat(np.array(owner, dtype=np.int64), [b - a for a, b in ends])
        loose = exact_sums(values, codes, len(starts))
        return tuple(blocks.exact(k) + loose.exact(k) for k in range(len(starts)))

    @functools.cached_property
    def _blocks(self) -> ExactSums:
        n = len(self.scores)
        return exact_sums(self.scores, np.arange(n) // _BLOCK, -(-n // _BLOCK))


@final
@dataclass(frozen=True, eq=False)
class Problem:
    """A batch. `label_sums` (J,) and `label_range` matter to rows about residuals only; None without labels."""

    people: People
    rows: tuple[LayerRow, ...]
    box: tuple[Fraction, Fraction]
    members: tuple[Member, ...]
    label_sums: Vector | None = None
    label_range: tuple[Fraction, Fraction] | None = None

    @functools.cached_property
    def system(self) -> System:
        """The rows that this batch demands."""
        return self.system_of(self.people.counts)

    def system_of(self, counts: Sequence[int]) -> System:
        """The rows for other numbers of people in the joint cells; offsets are of the labels as they are.

        A row that loses a part is gone: the layer demands nothing of a group that nobody is in.
        """
        rows, weights, offsets = [], [], []
        for row in self.rows:
            sizes = [sum(counts[j] for j in part) for part in row.parts]
            if not all(sizes):
                continue
            line, offset = [Fraction(0)] * len(counts), Fraction(0)
            for part, factor, size in zip(row.parts, row.factors, sizes, strict=False):
                for j in part:
                    line[j] += factor / size
                if row.residual:
                    assert self.label_sums is not None
                    offset += factor / size * sum((self.label_sums[j] for j in part), Fraction(0))
            rows.append(row)
            weights.append(tuple(line))
            offsets.append(offset)
        return System(tuple(rows), tuple(weights), tuple(offsets))


def problem_of(
    scores: Array,
    cells: Codes,
    members: Sequence[Member],
    rows: Sequence[LayerRow],
    box: tuple[Fraction, Fraction],
    labels: Array | None = None,
    name: Callable[[int], str] = str,
) -> Problem:
    """A batch from plain arrays: scores (n,), joint cells (n,) as indices into `members`, labels (n,) for residuals.

    Errors: ValueError for an empty batch, numbers that are not finite, codes out of range, or a box without inside.
    """
    scores = np.ascontiguousarray(scores, dtype=np.float64)
    if not len(scores) or scores.shape != cells.shape or not np.isfinite(scores).all():
        raise ValueError("scores must be finite, one for each person's joint cell, and of somebody")
    if int(cells.min()) < 0 or int(cells.max()) >= len(members) or not box[0] < box[1]:
        raise ValueError("a joint cell that is none, or a box without inside")
    order = np.lexsort((scores, cells))
    starts = np.searchsorted(cells[order], np.arange(len(members) + 1))
    label_sums = label_range = None
    if labels is not None and any(row.residual for row in rows):
        found = exact_sums(np.asarray(labels, dtype=np.float64), cells, len(members))
        label_sums = tuple(found.exact(j) for j in range(len(members)))
        label_range = Fraction(float(labels.min())), Fraction(float(labels.max()))
    elif any(row.residual for row in rows):
        raise ValueError("rows about residuals need labels")
    people = People(scores[order], order.astype(np.int64), tuple(starts.tolist()), name)
    return Problem(people, tuple(rows), box, tuple(members), label_sums, label_range)


@final
class Batch(NamedTuple):
    """A batch of a bundle: its people's rows there, and the layer's multipliers (guesses, nothing is believed)."""

    name: str
    at: NDArray[np.int64]
    problem: Problem
    hints: tuple[float, ...]


def batches_of(terms: Terms, evidence: Evidence) -> Iterator[Batch]:
    """Each batch of the evidence as the layer of its policy saw it. `terms` name the layer's metric and groups.

    Joint cells are those that somebody of the batch is in. Errors: InputError where the bundle describes no layer.
    """
    layer, scores = evidence.policy.layer, evidence.scores
    if layer is None or layer.epsilon is None or scores is None:
        advice = "a claim about the layer needs [layer] metric and epsilon, and [predictions] score"
        raise InputError(f"claim {terms.id!r} speaks of a layer that the bundle does not describe", advice=advice)
    joint, members, locals_ = _joint_cells(terms, evidence)
    order = np.argsort(evidence.batch, kind="stable")
    edges = np.searchsorted(evidence.batch[order], np.arange(len(evidence.batch_names) + 1)).tolist()
    for (first, last), name in zip(pairwise(edges), evidence.batch_names, strict=True):
        at = order[first:last]
        present, cells = np.unique(joint[at], return_inverse=True)
        rows = _rows(terms, [codes[present] for codes in locals_], layer.epsilon)
        labels = None if evidence.labels is None else evidence.labels[at]
        box = (layer.lower, layer.upper)
        here = [members[j] for j in present]
        problem = problem_of(scores[at], cells.reshape(-1), here, rows, box, labels, _names(evidence, at))
        given = (evidence.multipliers or {}).get(name, {})
        yield Batch(name, at, problem, tuple(given.get(row.name, 0.0) for row in problem.system.rows))


def _names(evidence: Evidence, at: NDArray[np.int64]) -> Callable[[int], str]:
    return lambda row: repr(evidence.row_id(int(at[row])))


def _joint_cells(terms: Terms, evidence: Evidence) -> tuple[Codes, list[Member], list[Codes]]:
    """(joint cell of each row, what its people share, and its code along each partition: the claim's cell or −1)."""
    from certifair.checks._tally import cell_codes

    columns = [evidence.codes[name] for name in terms.sensitive_features]
    widths = [len(evidence.values[name]) for name in terms.sensitive_features]
    parts = [cell_codes(terms, p, evidence) for p in range(len(terms.partitions))]
    condition = np.full(evidence.n, -1, dtype=np.int64)
    if terms.condition_on is not None:  # people of no condition are in no cell, whatever their groups
        width = len(terms.partitions[0].groups)
        condition = np.where(parts[0][0] >= 0, parts[0][0] // width, -1)
    joint = np.zeros(evidence.n, dtype=np.int64)
    for codes, width in zip([*columns, condition + 1], [*widths, len(terms.conditions) + 1], strict=True):
        _, joint = np.unique(joint * width + codes, return_inverse=True)
        joint = joint.reshape(-1)
    _, first = np.unique(joint, return_index=True)
    members = []
    for i in first.tolist():
        groups = tuple(evidence.values[f][c[i]] for f, c in zip(terms.sensitive_features, columns, strict=True))
        members.append(Member(groups, terms.conditions[condition[i]] if condition[i] >= 0 else None))
    return joint, members, [codes[first] for codes, _ in parts]


def _rows(terms: Terms, local: Sequence[Codes], epsilon: Fraction) -> list[LayerRow]:
    """The claim's rows on these joint cells, whose cells along each partition are `local`."""
    found = []
    for row in terms.rows:
        parts = []
        for cell in row.cells:
            code = (cell.condition or 0) * len(terms.partitions[cell.partition].groups) + cell.group
            parts.append(tuple(np.flatnonzero(local[cell.partition] == code).tolist()))
        factors = tuple(Fraction(factor) for factor in row.factors[: len(parts)])
        found.append(LayerRow(row.name, tuple(parts), factors, row.residual, epsilon))
    return found
