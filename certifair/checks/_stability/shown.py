"""A treatment difference that two people of a batch can see: the better served has a score that is not higher.

For each pair of joint cells c, d of unequal groups and one condition, sorted by score: the largest y_i − y_k with
z_i ≤ z_k, i in c and k in d. With M(z) the largest y of the people of c with scores up to z, it is max_k M(z_k) − y_k.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._stability.problem import Member, People

Array = NDArray[np.float64]


@final
class Shown(NamedTuple):
    """y of the favoured less y of the other, exactly; persons are rows of the batch."""

    difference: Fraction
    favoured: int
    other: int


def inversion(people: People, members: tuple[Member, ...], served: Array) -> Shown | None:
    """The largest, if any is above 0; `served` (n,) in the order of the batch."""
    best: Shown | None = None
    ordered = served[people.order]
    for c, d in permutations(range(people.cells), 2):
        if members[c].groups == members[d].groups or members[c].condition != members[d].condition:
            continue
        found = _between(people, c, d, ordered)
        if found is not None and (best is None or found.difference > best.difference):
            best = found
    return best


def _between(people: People, c: int, d: int, served: Array) -> Shown | None:
    """The best pair with the favoured one in c: the first by float difference, then exact."""
    mine, theirs = (slice(people.starts[j], people.starts[j + 1]) for j in (c, d))
    best_so_far = np.maximum.accumulate(served[mine])
    ahead = np.searchsorted(people.scores[mine], people.scores[theirs], side="right")
    some = np.flatnonzero(ahead)
    if not len(some):
        return None
    gains = best_so_far[ahead[some] - 1] - served[theirs][some]
    k = int(some[np.argmax(gains)])
    top = float(best_so_far[ahead[k] - 1])
    difference = Fraction(top) - Fraction(float(served[theirs][k]))
    if difference <= 0:
        return None
    i = int(np.argmax(served[mine][: ahead[k]] == top))
    return Shown(difference, int(people.order[mine.start + i]), int(people.order[theirs.start + k]))
