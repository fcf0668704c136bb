"""Batches that keep the proportions of everybody's joint cells, so that every batch can be compared with.

A plan says once how many people of each joint cell every batch gets; an epoch only draws who they are. Nobody is left
out: n people make ⌈n / size⌉ batches of nearly equal size. Where a cell that a row speaks of has fewer people than
there are batches, leaving it out of some would silently drop the row there; so by default batches are made fewer and
larger until each holds everybody it needs, and the plan says for whose sake. That costs memory, never a guarantee.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, final, get_args

import numpy as np
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.layer import FairnessLayer
from certifair.layer.rows import Pattern
from certifair.training.data import Dataset
from certifair.training.rows import rows_for

Codes = NDArray[np.int64]
Scarce = Literal["enlarge", "spread", "error"]
"""What to do about cells with fewer people than batches: larger batches, batches without them, or an InputError."""


@final
@dataclass(frozen=True, eq=False)
class BatchPlan:
    """How everybody is spread over the batches of an epoch.

    `joint` (n,): each person's joint cell, `counts` (B, J): how many of each a batch gets, `names` (J,) their names;
    `requested`: the size that was asked for; `limiting`: the cell for whose sake batches are larger, or "";
    `without`: cells that rows speak of, and how many batches hold nobody of them; `absent`: rows that compare nobody at
    all, because a declared group is not in the data.
    """

    joint: Codes
    counts: Codes
    names: tuple[str, ...]
    requested: int
    limiting: str
    without: dict[str, int]
    absent: tuple[str, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(self.counts.sum(axis=1).tolist())

    def epoch(self, seed: int, epoch: int) -> Iterator[Codes]:
        """Indices of each batch's people, ascending; who and in which order follow from seed and epoch alone."""
        rng = np.random.default_rng([seed, 1, epoch])
        shuffled = rng.permutation(len(self.joint))
        people = shuffled[np.argsort(self.joint[shuffled], kind="stable")]
        batches, cells = self.counts.shape
        owner = np.repeat(np.tile(np.arange(batches), cells), self.counts.T.reshape(-1))
        by_batch = people[np.argsort(owner, kind="stable")]
        ends = np.cumsum(self.sizes)
        for k in rng.permutation(batches).tolist():
            yield np.sort(by_batch[ends[k] - self.sizes[k] : ends[k]])

    def groups(self, people: Codes) -> dict[str, int]:
        """How many of these people are in each joint cell, by name."""
        found = np.bincount(self.joint[people], minlength=len(self.names)).tolist()
        return {name: count for name, count in zip(self.names, found, strict=True) if count}

    def to_dict(self) -> dict[str, Any]:
        """What a report says of the plan, JSON-able."""
        return {
            "people": len(self.joint),
            "requested": self.requested,
            "batches": len(self.counts),
            "smallest": min(self.sizes),
            "largest": max(self.sizes),
            "limiting": self.limiting,
            "without": self.without,
            "absent_rows": list(self.absent),
        }


def plan_batches(data: Dataset, layer: FairnessLayer | None, size: int, scarce: Scarce = "enlarge") -> BatchPlan:
    """Batches of about `size` people (0: everybody at once), by the layer's joint cells of features and condition.

    Each batch has of each joint cell its share of people, within one person. Raises InputError for an empty data set,
    and with scarce = "error" where a cell has fewer people than there are batches.
    """
    if scarce not in get_args(Scarce):
        raise InputError(f"scarce = {scarce!r}", advice=f"known: {', '.join(get_args(Scarce))}")
    n = len(data)
    if n == 0:
        raise InputError("there is nobody to train on", where="batches")
    if size < 0:
        raise InputError(f"a batch of {size} people", advice="0 means everybody at once")
    batches = -(-n // size) if size else 1
    if layer is None:
        joint, people = np.zeros(n, dtype=np.int64), np.array([n])
        return BatchPlan(joint, _deal(people, np.zeros((0, 1), bool), batches), ("everybody",), size or n, "", {}, ())
    found = rows_for(layer, n, data.sensitive, data.labels, data.conditions)
    pattern, joint = found.rows.pattern, found.joint.numpy()
    inside = _spoken_of(pattern)
    in_cell = inside @ found.rows.people
    cells = [_name_of_member(data, layer, pattern, joint, c) for c in np.flatnonzero(_spoken(pattern)).tolist()]
    limiting = ""
    if cells and in_cell.min() < batches and scarce != "spread":
        limiting = cells[int(in_cell.argmin())]
        if scarce == "error":
            raise InputError(
                f"{limiting} has {in_cell.min()} people for {batches} batches", advice="use larger batches"
            )
        batches = int(in_cell.min())
    counts = _deal(found.rows.people, inside, batches)
    while scarce != "spread" and not (counts @ inside.T).all():  # several overlapping features, dealt unluckily
        batches = min(batches - 1, int(batches * 0.95))
        limiting = limiting or cells[int(in_cell.argmin())]
        counts = _deal(found.rows.people, inside, batches)
    missing = ((counts @ inside.T) == 0).sum(axis=0)
    return BatchPlan(
        joint,
        counts,
        tuple(_joint_name(data, layer, joint, j) for j in range(counts.shape[1])),
        size or n,
        limiting,
        {name: int(count) for name, count in zip(cells, missing, strict=True) if count},
        pattern.absent,
    )


def _spoken(pattern: Pattern) -> NDArray[np.bool_]:
    """(C,): cells that some row speaks of."""
    found: NDArray[np.bool_] = (pattern.factors != 0).any(axis=0)
    return found


def _spoken_of(pattern: Pattern) -> NDArray[np.bool_]:
    """(C', J): which joint cells make up each cell that some row speaks of."""
    found: NDArray[np.bool_] = pattern.incidence[_spoken(pattern)].astype(bool)
    return found


def _deal(people: Codes, inside: NDArray[np.bool_], batches: int) -> Codes:
    """(B, J): every joint cell's people spread within one person.

    What division leaves over goes where the fewest people are so far: in all, and in the cells that they belong to.
    With one feature the batches' sizes then differ by at most one.
    """
    counts = np.tile(people // batches, (batches, 1))
    tally = np.zeros((batches, len(inside)), dtype=np.int64)
    total = np.zeros(batches, dtype=np.int64)
    for j, left in enumerate((people % batches).tolist()):
        fewest = np.argsort(total + tally[:, inside[:, j]].sum(axis=1), kind="stable")[:left]
        counts[fewest, j] += 1
        total[fewest] += 1
        tally[np.ix_(fewest, inside[:, j])] += 1
    return counts


def _name_of_member(data: Dataset, layer: FairnessLayer, pattern: Pattern, joint: Codes, c: int) -> str:
    """The name of a cell: its partition's features and its condition, as one of its members has them."""
    cell = pattern.cells[c]
    member = int(np.flatnonzero(pattern.incidence[c].astype(bool)[joint])[0])
    features = list(layer.features or data.sensitive)
    own = features if layer.intersectional else [features[cell.partition]]
    return _name(data, layer, own, member, conditioned=cell.condition is not None)


def _joint_name(data: Dataset, layer: FairnessLayer, joint: Codes, j: int) -> str:
    members = np.flatnonzero(joint == j)
    if not len(members):
        return f"empty {j}"
    conditioned = layer.metric.needs_condition or bool(layer.metric.label_conditions)
    return _name(data, layer, list(layer.features or data.sensitive), int(members[0]), conditioned=conditioned)


def _name(data: Dataset, layer: FairnessLayer, features: list[str], member: int, *, conditioned: bool) -> str:
    parts = [f"{name}={data.sensitive[name][member]}" for name in features]
    if not conditioned:
        return ", ".join(parts)
    if layer.metric.needs_condition:
        assert data.conditions is not None
        return f"{', '.join(parts)} | {layer.condition}={data.conditions[member]}"
    assert data.labels is not None
    return f"{', '.join(parts)} | label={int(data.labels[member])}"
