"""At least 1 000 mutated witnesses for each kind of leaf and of row: whatever the checker accepts is true.

The truth is known by brute force (`individual_brute`). Real and float32 claims are held to it alike: what is sure of
every float32 execution is so of the real f. Counts of float32 claims are also held to executions in random orders.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import cache
from typing import Any, final

import numpy as np
import pytest

from certifair.checks._individual.check import check_witness
from certifair.evidence.witness import (
    ALL,
    COUNTED,
    COUNTEREXAMPLE,
    ENUMERATED,
    OPEN,
    PAIR,
    SWEPT,
    TREE,
    Rows,
    Tree,
    Witness,
    layers_to_json,
)
from certifair.spec.domain import Domain
from certifair.spec.layers import Layers
from tests.checks.witness_cases import LEAVES, WITHOUT_PAIRS, in_integers, leaf, random_domain, random_tree, row_box
from tests.oracles import individual_brute as brute

CODES = {"ALL": ALL, "PAIR": PAIR, "SWEPT": SWEPT, "TREE": TREE}
MUTANTS = 1000
NETWORKS = 40
HOSTILE = (0.0, -0.0, 0.5, 1.0, -1.0, 2.0**24, 1e39, -1e308, 5e-324, float("nan"), float("inf"), -float("inf"))


def random_network(rng: np.random.Generator, inputs: int, style: int) -> Layers:
    """ReLU, leaky (slopes beyond ±1 and negative ones too), identity neurons, residual-like copies; ties on a grid."""
    slopes = [(0.0,), (0.0, 0.125), (1.0, 0.0), (0.5, -0.25, 2.0, -1.5, 1.0), (0.0,)][style % 5]
    widths = [int(w) for w in rng.integers(1, 6, rng.integers(0, 4))]
    layers, n = [], inputs
    for k, m in enumerate([*widths, 1]):
        weight = rng.normal(size=(m, n)) if style % 3 else rng.integers(-3, 4, (m, n)) / 2
        bias = rng.normal(size=m) * 2 if style % 3 else rng.integers(-3, 4, m) / 2
        slope = np.ones(1) if k == len(widths) else rng.choice(slopes, m)
        if style % 5 == 4 and k < len(widths):  # all inputs of the layer are carried along
            weight, bias = np.vstack([np.eye(n), weight]), np.append(np.zeros(n), bias)
            slope = np.append(np.ones(n), slope)
        scale = {7: 1e20, 8: 1e-20}.get(style % 11, 1.0)
        layers.append(brute.layer(np.float32(weight * scale), np.float32(bias * scale), slope))
        n = len(bias)
    return brute.net(*layers, float32=all((np.abs(x.slope) <= 1).all() for x in layers))


@final
@dataclass(frozen=True)
class Case:
    """A network and a domain, as JSON too; the truth; what 6 float32 executions say of every point."""

    layers: Layers
    json: Any
    domain: Domain
    units: brute.Units
    codes: Any
    truth: brute.Truth
    common: brute.Truth
    values: Any

    def tree(self, rng: np.random.Generator, kinds: list[int], box: Any = None, *, depth: int = 3) -> Tree:
        """With counterexamples in boxes where there are."""
        return random_tree(rng, self.domain, kinds, box, depth=depth, pair_in=lambda b: unfair_pair(rng, self, b))

    def check(self, about: Tree | Rows, rows: Any = None) -> Any:
        return check_witness(Witness(self.json, self.domain, about, "mutant"), self.layers, self.domain, rows)

    def faults(self, checked: Any) -> list[str]:
        """What is false of the shares and pairs."""
        found = self.truth.faults(checked.shares["real"]) + self.truth.faults(checked.shares["float32"])
        found += self.common.faults(checked.shares["float32"])
        for _, (one, two) in checked.pairs:
            high, low = brute.exact_values(self.layers, np.array([one, two]))
            found += ["pair"] * (not high * low <= 0 or (high > 0) == (low > 0))
        return found


def make_case(rng: np.random.Generator, style: int) -> Case:
    domain = random_domain(rng, relaxed=style % 2 == 1, size=[3, 5, 9][style % 3])
    layers = random_network(rng, domain.inputs, style)
    units = brute.units(domain)
    values = np.array([v > 0 for v in brute.exact_values(layers, units.points)])
    runs = [brute.Float32(rng, fused=bool(k % 2)).values(layers, units.points) > 0 for k in range(6)]
    agreed = np.where(np.all(runs, axis=0), 1, np.where(np.any(runs, axis=0), 0, -1))
    codes = brute.decisions(values, units.owner)
    sure = [brute.decisions(agreed == 1, units.owner) == 1, brute.decisions(agreed > -1, units.owner) == -1]
    both = (brute.decisions(agreed == 1, units.owner) != -1) & (brute.decisions(agreed > -1, units.owner) != 1)
    common = brute.truth_of(np.where(sure[0], 1, np.where(sure[1], -1, np.where(both, 2, 0))))
    return Case(layers, layers_to_json(layers), domain, units, codes, brute.truth_of(codes), common, values)


@cache
def cases() -> list[Case]:
    rng = np.random.default_rng(20261121)
    return [make_case(rng, style) for style in range(NETWORKS)]


def unfair_pair(rng: np.random.Generator, case: Case, box: Any) -> Any:
    """Two points of a flip set; mostly of an unfair unit of the box, if it has one."""
    domain = case.domain
    inside = [
        all(f.sensitive or a <= v <= b for f, v, (a, b) in zip(domain.features, unit, box, strict=True))
        for unit in case.units.values
    ]
    where = np.flatnonzero(np.array(inside) & (case.codes == 2))
    if not len(where):
        return None
    own = [
        p for p in np.flatnonzero(case.units.owner == rng.choice(where)) if in_box(domain, case.units.points[p], box)
    ]
    high, low = [p for p in own if case.values[p]], [p for p in own if not case.values[p]]
    if not high or not low:
        return None
    return tuple(tuple(case.units.points[rng.choice(side)].tolist()) for side in (high, low))


def in_box(domain: Domain, point: Any, box: Any) -> bool:
    """Whether its sensitive values are."""
    values = zip(domain.features, brute.decode(domain, point), box, strict=True)
    return all(not f.sensitive or a <= v <= b for f, v, (a, b) in values)


def mutated_tree(rng: np.random.Generator, tree: Tree) -> Tree:
    """One to three changes. Errors: ValueError for what is no tree any more."""
    kind, feature, cut = bytearray(tree.kind), array("H", tree.feature), array("d", tree.cut)
    pairs = [[list(point) for point in pair] for pair in tree.pairs]
    for _ in range(int(rng.integers(1, 4))):
        i, j = (int(v) for v in rng.integers(0, len(kind), 2))
        what = int(rng.integers(0, 10))
        if what <= 1:
            kind[i] = int(rng.integers(0, 8 if rng.random() < 0.2 else 5))
        elif what == 2:
            feature[i] = int(rng.choice([0, 1, 2, 3, 4, 65535]))
        elif what == 3:
            cut[i] += float(rng.choice([-1, 1]))
        elif what == 4:
            cut[i] = float(np.nextafter(cut[i], rng.choice([-1e9, 1e9]))) if rng.random() < 0.5 else rng.choice(HOSTILE)
        elif what == 5:
            for column in (kind, feature, cut)[: int(rng.integers(1, 4))]:
                column[i], column[j] = column[j], column[i]
        elif pairs:
            mutate_pair(rng, pairs[int(rng.integers(0, len(pairs)))])
        else:
            feature[i] = feature[j]
    if rng.random() < 0.03:
        feature.pop()
    return Tree(bytes(kind), feature, cut, tuple((tuple(a), tuple(b)) for a, b in pairs))


def mutate_pair(rng: np.random.Generator, pair: list[list[float]]) -> None:
    """One number, or all of one point."""
    point, other = (pair[0], pair[1]) if rng.random() < 0.5 else (pair[1], pair[0])
    i, j = (int(v) for v in rng.integers(0, min(map(len, pair)), 2))
    match int(rng.integers(0, 7)):
        case 0:
            point[i] = float(rng.choice(HOSTILE))
        case 1:
            point[i] += float(rng.choice([-1, 1]))
        case 2:
            point[i] = float(np.nextafter(point[i], rng.choice([-1e9, 1e9])))
        case 3:
            point[i], point[j] = point[j], point[i]
        case 4:
            point[i] = other[i]
        case 5:
            point[:] = other
        case 6:
            (point.pop if rng.random() < 0.5 else lambda: point.append(0.0))()


@pytest.mark.parametrize("name", LEAVES)
def test_mutated_trees_of_a_domain_never_claim_what_is_false(name, capsys):
    """Leaves mostly of this kind."""
    rng = np.random.default_rng(LEAVES[name])
    kinds = [LEAVES[name]] * 4 + WITHOUT_PAIRS
    refused = accepted = claiming = made = 0
    while made < MUTANTS:
        case = cases()[int(rng.integers(0, NETWORKS))]
        tree = case.tree(rng, kinds, depth=int(rng.integers(0, 4)))
        if LEAVES[name] not in tree.kind:
            continue
        made += 1
        try:
            checked = case.check(mutated_tree(rng, tree))
        except ValueError:
            refused += 1
            continue
        accepted += 1
        claiming += checked.shares["real"].undecided < 1
        assert not case.faults(checked)
    with capsys.disabled():
        print(f"\n{name}: {made} mutants, {refused} refused, {accepted} true, of which {claiming} claim something")
    assert refused > MUTANTS // 10
    assert claiming > MUTANTS // 10


def test_mutated_trees_checked_in_integers_never_claim_what_is_false():
    rng = np.random.default_rng(77)
    claiming = 0
    for _ in range(250):
        case = cases()[int(rng.integers(0, NETWORKS))]
        if len(case.units.points) > 200:
            continue
        tree = case.tree(rng, list(LEAVES.values()), depth=2)
        try:
            levels = in_integers(case.layers, case.domain, mutated_tree(rng, tree))
        except ValueError:
            continue
        claiming += any(levels[0])
        for counts in levels:
            assert not case.truth.faults(counts)
    assert claiming > 50


def random_rows(rng: np.random.Generator, case: Case, code: int) -> tuple[Rows, Any, Any]:
    """Rows with a proof each, and what is true of them."""
    chosen = rng.integers(0, len(case.units.values), 1 if code == TREE else 3)
    rows, pairs, trees, codes = [], array("d"), [], []
    for u in chosen.tolist():
        own = np.flatnonzero(case.units.owner == u)
        values = case.units.values[u]
        features = zip(case.domain.features, values, strict=True)
        mixed = [rng.choice(brute.places(f)) if f.sensitive else v for f, v in features]
        rows.append(brute.encode(case.domain, mixed))
        box = row_box(case.domain, case.units.values[u])
        if case.codes[u] != 2 and code == PAIR and rng.random() < 0.5:
            codes.append(ALL)
            continue
        codes.append(code)
        if code == PAIR:
            high, low = own[case.values[own]], own[~case.values[own]]
            for side in (high if len(high) else own, low if len(low) else own):
                pairs.extend(case.units.points[rng.choice(side)][brute.flipped(case.domain)].tolist())
        if code == TREE:
            kinds = [ENUMERATED, COUNTED, COUNTED, OPEN, COUNTEREXAMPLE]
            trees.append(row_tree(rng, case, u, kinds, box))
    return Rows(bytes(codes), pairs, tuple(trees)), np.array(rows), chosen


def row_tree(rng: np.random.Generator, case: Case, unit: int, kinds: list[int], box: Any) -> Tree:
    """A tree over one flip set; counterexamples are taken from all of it, in its box or not."""
    tree = case.tree(rng, [k for k in kinds if k != COUNTEREXAMPLE], box)
    own = np.flatnonzero(case.units.owner == unit)
    if rng.random() < 0.7:
        return tree
    points = tuple(tuple(case.units.points[rng.choice(own)].tolist()) for _ in range(2))
    return leaf(COUNTEREXAMPLE, 0, points)


def mutated_rows(rng: np.random.Generator, about: Rows, rows: Any) -> tuple[Rows, Any]:
    """Changes of codes, pairs and trees. Errors: ValueError."""
    code, pairs, trees = bytearray(about.code), array("d", about.pairs), list(about.trees)
    what = int(rng.integers(0, 8))
    i = int(rng.integers(0, len(code)))
    if what == 0:
        code[i] = int(rng.integers(0, 7))
    elif what == 1:
        code.append(int(rng.integers(0, 5)))
    elif what == 2:
        rows = rows.copy()
        rows[i, int(rng.integers(0, rows.shape[1]))] = rng.choice(HOSTILE)
    elif what == 3 and trees:
        trees.append(trees[0])
    elif pairs:
        point = [pairs.tolist(), pairs.tolist()[::-1]]
        mutate_pair(rng, point)
        pairs = array("d", point[0])
    elif trees:
        trees[int(rng.integers(0, len(trees)))] = mutated_tree(rng, trees[int(rng.integers(0, len(trees)))])
    return Rows(bytes(code), pairs, tuple(trees)), rows


def false_rows(case: Case, checked: Any, rows: Any, given: Any, chosen: Any) -> list[str]:
    """A verdict that is wrong, or a pair that is none; nothing is said of rows that were changed."""
    found = []
    same = (rows == given).all(axis=1)
    for level in ("real", "float32"):
        for row, verdict in enumerate(checked.verdicts[level].tolist()):
            true = 2 if case.codes[chosen[row]] == 2 else 1
            found += [f"{level} {row}"] * (verdict not in (0, true) and bool(same[row]))
    for row, pair in checked.pairs:
        own = case.units.points[case.units.owner == chosen[row]].tolist()
        high, low = brute.exact_values(case.layers, np.array(pair))
        found += [f"pair {row}"] * (
            (high > 0) == (low > 0) or bool(same[row] and not all(list(p) in own for p in pair))
        )
    return found


def quickly_swept(case: Case, style: int) -> bool:
    """Without ties and with a float32 claim: all else is swept piece by piece, down to the smallest."""
    return case.layers.float32 and style % 3 > 0 and style % 11 != 7


@pytest.mark.parametrize("name", CODES)
def test_mutated_proofs_of_rows_never_claim_what_is_false(name, capsys):
    rng = np.random.default_rng(100 + CODES[name])
    refused = accepted = claiming = 0
    some = [case for style, case in enumerate(cases()) if CODES[name] != SWEPT or quickly_swept(case, style)]
    for _ in range(MUTANTS):
        case = some[int(rng.integers(0, len(some)))]
        about, rows, chosen = random_rows(rng, case, CODES[name])
        try:
            mutant, given = mutated_rows(rng, about, rows)
            checked = case.check(mutant, given)
        except ValueError:
            refused += 1
            continue
        accepted += 1
        claiming += bool((checked.verdicts["real"] > 0).any())
        assert not false_rows(case, checked, rows, given, chosen)
    with capsys.disabled():
        print(f"\n{name}: {MUTANTS} mutants, {refused} refused, {accepted} true, of which {claiming} claim something")
    assert refused > MUTANTS // 50
    assert claiming > MUTANTS // 10
