"""Random domains and trees, and what both checkers of individual fairness say about them."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from certifair.checks._individual import by_integers
from certifair.checks._individual.check import Checked, check_witness
from certifair.evidence.witness import (
    COUNTED,
    COUNTEREXAMPLE,
    ENUMERATED,
    FIBRES,
    OPEN,
    SPLIT,
    TRIMMED,
    Rows,
    Tree,
    Witness,
    layers_to_json,
)
from certifair.spec.domain import Domain, Feature
from certifair.spec.layers import Layers

LEAVES = {
    "OPEN": OPEN,
    "ENUMERATED": ENUMERATED,
    "COUNTED": COUNTED,
    "FIBRES": FIBRES,
    "COUNTEREXAMPLE": COUNTEREXAMPLE,
    "TRIMMED": TRIMMED,
}
WITHOUT_PAIRS = [kind for kind in LEAVES.values() if kind != COUNTEREXAMPLE]
Ranges = list[tuple[float, float]]
"""Of a box: of each feature the least and the greatest value, or one-hot position."""


class Counts(NamedTuple):
    """Units proven, as `by_integers` counts them; for `individual_brute.Truth.faults`."""

    positive: Fraction
    negative: Fraction
    mixed: Fraction
    falsified: Fraction


def check(network: Layers, domain: Domain, about: Tree | Rows, rows: Any = None, **options: Any) -> Checked:
    witness = Witness(layers_to_json(network), domain, about, "test")
    return check_witness(witness, network, domain, rows, **options)


def in_integers(network: Layers, domain: Domain, about: Tree | Rows, rows: Any = ()) -> Any:
    """Counts of a tree at both levels; of rows their verdicts at both levels."""
    found = by_integers.check(Witness(layers_to_json(network), domain, about, "test"), rows)
    return [Counts(*level) for level in found] if isinstance(about, Tree) else found


def leaf(kind: int, feature: int = 0, *pair: Any) -> Tree:
    return Tree(bytes([kind]), array("H", [feature]), array("d", [0.0]), pair)


def whole(domain: Domain) -> Ranges:
    return [(0.0, f.width - 1.0) if f.kind == "one_hot" else (f.low, f.high) for f in domain.features]


def row_box(domain: Domain, values: Any) -> Ranges:
    """The flip set of these values of features."""
    ends = zip(domain.features, values, whole(domain), strict=True)
    return [e if f.sensitive else (max(v - f.eps, e[0]), min(v + f.eps, e[1])) for f, v, e in ends]


def straight(domain: Domain) -> list[int]:
    """The features along which fibres may run."""
    return [i for i, f in enumerate(domain.features) if not f.sensitive and not f.eps and f.kind != "one_hot"]


def random_domain(rng: np.random.Generator, *, relaxed: bool = False, size: int = 4, eps: int = 2) -> Domain:
    """Integer and one-hot features, one or two of them sensitive, in any order; relaxed ones by up to eps."""
    features = []
    for i in range(int(rng.integers(2, 5))):
        if rng.random() < 0.3:
            features.append(Feature(f"f{i}", "one_hot", values=tuple("abcd"[: rng.integers(1, 5)])))
        else:
            low = int(rng.integers(-4, 4))
            near = float(rng.integers(0, eps + 1)) if relaxed else 0.0
            features.append(Feature(f"f{i}", "integer", low, low + int(rng.integers(0, size)), eps=near))
    for i in range(1 + (rng.random() < 0.3)):
        features[i] = replace(features[i], sensitive=True, eps=0.0)
    return Domain("d", tuple(features[i] for i in rng.permutation(len(features))))


def random_tree(
    rng: np.random.Generator,
    domain: Domain,
    kinds: list[int],
    box: Ranges | None = None,
    *,
    depth: int = 3,
    pair_in: Callable[[Ranges], Any] = lambda _: None,
) -> Tree:
    """Random splits of the box, of sensitive features too; leaves of these kinds; counterexamples where `pair_in` has
    one, else an open leaf.
    """
    kind, feature, cut, pairs = [], [], [], []
    level, fibres = [list(box or whole(domain))], straight(domain)
    for deep in range(depth + 1):
        below = []
        for ranges in level:
            wide = [i for i, (a, b) in enumerate(ranges) if b > a]
            if deep < depth and wide and rng.random() < 0.6:
                i = int(rng.choice(wide))
                c = float(rng.integers(ranges[i][0] + 1, ranges[i][1] + 1))
                below += [[*ranges[:i], half, *ranges[i + 1 :]] for half in ((ranges[i][0], c - 1), (c, ranges[i][1]))]
                kind, feature, cut = [*kind, SPLIT], [*feature, i], [*cut, c]
                continue
            one = int(rng.choice(kinds))
            pair = pair_in(ranges) if one == COUNTEREXAMPLE else None
            one = OPEN if one == COUNTEREXAMPLE and pair is None else COUNTED if one == FIBRES and not fibres else one
            pairs += [pair] if pair is not None else []
            kind, cut = [*kind, one], [*cut, 0.0]
            feature = [*feature, int(rng.choice(fibres)) if one == FIBRES else 0]
        level = below
    return Tree(bytes(kind), array("H", feature), array("d", cut), tuple(pairs))
