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
    """The best pair with the favoured one in c: those whose float difference could be the largest are compared exactly.

    A difference is rounded once, by at most 2⁻⁵³ of it.
    """
    mine, theirs = (slice(people.starts[j], people.starts[j + 1]) for j in (c, d))
    best_so_far = np.maximum.accumulate(served[mine])
    ahead = np.searchsorted(people.scores[mine], people.scores[theirs], side="right")
    some = np.flatnonzero(ahead)
    if not len(some):
        return None
    most, least = best_so_far[ahead[some] - 1], served[theirs][some]
    gains = most - least
    if not gains.max() > 0:
        return None
    near = np.flatnonzero(gains >= gains.max() * (1 - 2.0**-50))
    pairs, first = np.unique(np.stack([most[near], least[near]]), axis=1, return_index=True)
    exact = [(Fraction(a) - Fraction(b), -int(at)) for a, b, at in zip(*pairs.tolist(), first, strict=True)]
    difference, at = max(exact)
    k = int(some[near[-at]])
    i = int(np.argmax(served[mine][: ahead[k]] == best_so_far[ahead[k] - 1]))
    return Shown(difference, int(people.order[mine.start + i]), int(people.order[theirs.start + k]))
