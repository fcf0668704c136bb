"""The whole check of a witness in the standard library alone, for who trusts no floating point: slow, and short.

python -m certifair.checks._individual.by_integers WITNESS.json [ROWS.json]

ROWS.json: a list of lists, the rows as the network reads them. The theorems are those of `counting`, `trees` and
`sweeps`; here every number is exact: f in `integers`, its sign and flip sets in `integer_points`, leaves in
`integer_counts`, what needs none of them in `integer_independence`. A trimmed leaf is taken for a counted one: no range
is shortened, so that less may be proven of it than `trimmed` does, but nothing else.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil, floor, isfinite
from pathlib import Path
from typing import Any, Final

from certifair.checks._individual.integer_counts import Counts, counted, enumerated
from certifair.checks._individual.integer_independence import independent
from certifair.checks._individual.integer_points import (
    ZERO,
    Box,
    Network,
    Range,
    enclosed,
    flip_sets,
    hull,
    judged,
    relaxed,
    root,
    sign_of,
    unit_ranges,
    units,
)
from certifair.evidence.witness import (
    ALL,
    COUNTED,
    COUNTEREXAMPLE,
    ENUMERATED,
    FIBRES,
    OPEN,
    PAIR,
    SPLIT,
    SWEPT,
    TREE,
    TRIMMED,
    Rows,
    Tree,
    Witness,
    read_witness,
)
from certifair.exact import piecewise
from certifair.spec.domain import Domain, Feature

HALVINGS: Final = 8


def check_tree(network: Network, domain: Domain, tree: Tree, box: Box) -> list[Counts]:
    """What the tree proves of a box, at both levels. Errors: ValueError for a tree that is none of the box."""
    boxes, pairs = [box], iter(tree.pairs)
    split_of: list[int] = []
    results: list[list[Counts]] = []
    for node, (kind, i, cut) in enumerate(zip(tree.kind, tree.feature, tree.cut, strict=True)):
        if node >= len(boxes):
            raise ValueError("a tree has nodes that no split leads to")
        if kind == SPLIT:
            split_of.append(node)
            boxes += _halves(domain, boxes[node], i, cut)
        results.append(_node(network, domain, boxes[node], kind, i, pairs))
    for number, node in reversed(list(enumerate(split_of))):
        one, two = results[2 * number + 1], results[2 * number + 2]
        sensitive = domain.features[tree.feature[node]].sensitive
        n = units(domain, boxes[node])
        results[node] = [_joined(a, b, n) if sensitive else _added(a, b) for a, b in zip(one, two, strict=True)]
    return results[0]


def _halves(domain: Domain, box: Box, i: int, at: float) -> list[Box]:
    if i >= len(domain.features):
        raise ValueError("a split of a feature that the domain has not")
    if not isfinite(at):
        raise ValueError("a split at a cut that is no number")
    cut = Fraction(at)
    (a, b), long = box[i], domain.features[i].kind == "continuous"
    if not (a < cut < b if long else a < cut <= b and cut.denominator == 1):
        raise ValueError("a split at a cut that is not inside its box")
    return [(*box[:i], ends, *box[i + 1 :]) for ends in ((a, cut if long else cut - 1), (cut, b))]


def _node(network: Network, domain: Domain, box: Box, kind: int, i: int, pairs: Iterator[Any]) -> list[Counts]:
    if kind == ENUMERATED:
        return enumerated(network, domain, box)
    if kind in (COUNTED, TRIMMED):
        return counted(network, domain, box, None)
    if kind == FIBRES:
        f = domain.features[i] if i < len(domain.features) else None
        if f is None or f.sensitive or f.eps or f.kind == "one_hot":
            raise ValueError("fibres along a feature that is sensitive, relaxed, one-hot or none of the domain")
        return counted(network, domain, box, i)
    if kind == COUNTEREXAMPLE:
        long = any(f.levels is None for f, _ in unit_ranges(domain, box))
        return [
            (ZERO, ZERO, ZERO, Fraction(unfair and not long)) for unfair in _pair(network, domain, box, next(pairs))
        ]
    assert kind in (SPLIT, OPEN)
    return [(ZERO,) * 4] * 2


def _pair(network: Network, domain: Domain, box: Box, pair: Sequence[Sequence[float]]) -> list[bool]:
    """Whether two points of the flip set of one unit of the box surely decide differently. Errors: ValueError."""
    if any(len(x) != domain.inputs for x in pair):
        raise ValueError("a point of the wrong length")
    for f, columns, (a, b) in zip(domain.features, domain.columns, box, strict=True):
        parts = [tuple(x[c] for c in columns) for x in pair]
        if not all(f.contains(part) for part in parts):
            raise ValueError("a counterexample outside the domain")
        places = [Fraction(part.index(1.0) if f.kind == "one_hot" else part[0]) for part in parts]
        eps = Fraction(f.eps)
        near = max(a, *(p - eps for p in places)) <= min(b, *(p + eps for p in places))
        if not (all(a <= p <= b for p in places) if f.sensitive else near):
            raise ValueError("a counterexample that is no pair of points of one flip set of its box")
    one, two = (network.signs([Fraction(v) for v in x]) for x in pair)
    return [a * b < 0 for a, b in zip(one, two, strict=True)]


def _added(a: Counts, b: Counts) -> Counts:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]


def _joined(a: Counts, b: Counts, n: Fraction) -> Counts:
    """Both parts of A, of the same n units: see `trees`."""
    crossed = max(ZERO, a[0] + b[1] - n) + max(ZERO, a[1] + b[0] - n)
    return max(ZERO, a[0] + b[0] - n), max(ZERO, a[1] + b[1] - n), ZERO, max(a[3], b[3], crossed)


def _inside(domain: Domain, row: Sequence[float]) -> bool:
    return all(f.contains(tuple(row[c] for c in cs)) for f, cs in zip(domain.features, domain.columns, strict=True))


def check_row(network: Network, domain: Domain, row: Sequence[float], code: int, proof: Any) -> list[int]:
    """At both levels 0 undecided, 1 fair, 2 unfair. proof: the two points of a PAIR, the tree of a TREE."""
    if not _inside(domain, row):
        return [0, 0]
    parts = [tuple(row[c] for c in columns) for columns in domain.columns]
    places = [
        Fraction(p.index(1.0) if f.kind == "one_hot" else p[0]) for f, p in zip(domain.features, parts, strict=True)
    ]
    own = tuple((p, p) for p in places)
    if code == PAIR:
        fixed = [
            c for f, cs in zip(domain.features, domain.columns, strict=True) if not (f.sensitive or f.eps) for c in cs
        ]
        flipped = [c for c in range(domain.inputs) if c not in fixed]
        points = [list(row), list(row)]
        for point, values in zip(points, (proof[: len(flipped)], proof[len(flipped) :]), strict=True):
            for c, v in zip(flipped, values, strict=True):
                point[c] = v
        whole = tuple(e if f.sensitive else o for f, e, o in zip(domain.features, root(domain), own, strict=True))
        return [2 * unfair for unfair in _pair(network, domain, whole, points)]
    sets = tuple(
        e if f.sensitive else o for f, e, o in zip(domain.features, root(domain), relaxed(domain, own), strict=True)
    )
    free = Domain(domain.name, tuple(replace(f, sensitive=True, eps=0.0) for f in domain.features))
    if code == ALL:
        (points_of,) = flip_sets(free, sets)
        return [{0: 0, 1: 1, -1: 1, 2: 2}[c] for c in judged(network, points_of)]
    if code == SWEPT:
        return _swept(network, free, sets)
    if code == TREE:
        return [2 if c[3] else int(c[0] + c[1] + c[2] > 0) for c in check_tree(network, free, proof, sets)]
    return [0, 0]


def _swept(network: Network, free: Domain, box: Box) -> list[int]:
    """The continuous part of a flip set, by halving; what is left at last exactly."""
    long = [f.kind == "continuous" and a < b for f, (a, b) in zip(free.features, box, strict=True)]
    if sum(long) > 2:
        raise ValueError("more than two continuous inputs in a flip set that is swept")
    choices = [
        [ends] if wide else [(v, v) for v in _places(f, ends)]
        for f, ends, wide in zip(free.features, box, long, strict=True)
    ]
    seen: list[set[int]] = [set(), set()]
    for piece in itertools.product(*choices):
        _sweep(network, free, piece, long, seen, 0)
    return [2 if {1, -1} <= s else 0 if 0 in s else 1 for s in seen]


def _places(f: Feature, ends: Range) -> list[Fraction]:
    return [ends[0]] if f.kind == "continuous" else [Fraction(v) for v in range(ceil(ends[0]), floor(ends[1]) + 1)]


def _sweep(network: Network, free: Domain, box: Box, long: list[bool], seen: list[set[int]], depth: int) -> None:
    low, high = hull(free, box)
    bounds, errors = enclosed(network, free, low, high)
    reach = sum((abs(g) * (b - a) / 2 for g, a, b in zip(bounds.slope, low, high, strict=True)), bounds.error)
    signs = [sign_of(bounds.centre - reach, bounds.centre + reach, e) for e in errors]
    if not all(signs) and depth < HALVINGS and any(long):
        i = max((i for i, wide in enumerate(long) if wide), key=lambda i: box[i][1] - box[i][0])
        for half in ((box[i][0], sum(box[i], ZERO) / 2), (sum(box[i], ZERO) / 2, box[i][1])):
            _sweep(network, free, (*box[:i], half, *box[i + 1 :]), long, seen, depth + 1)
        return
    if not all(signs):
        columns = [free.columns[i][0] for i, wide in enumerate(long) if wide]
        others = [[b if c == j else a for j, (a, b) in enumerate(zip(low, high, strict=True))] for c in columns]
        least, greatest = _extremes(network, low, others)
        for level, error in enumerate(errors):
            ends = (sign_of(least, least, error), sign_of(greatest, greatest, error))
            seen[level].update(ends if ends != (-1, 1) and ends[0] == ends[1] else {0, *ends})
        return
    for found, sign in zip(seen, signs, strict=True):
        found.add(sign)


def _extremes(network: Network, corner: list[Fraction], others: list[list[Fraction]]) -> Range:
    if len(others) == 2:
        found = piecewise.sweep_rectangle(network.plain, corner, *others)
    else:
        found = piecewise.sweep_line(network.plain, corner, others[0] if others else corner)
    return found.least, found.greatest


def check(witness: Witness, rows: Sequence[Sequence[float]] = ()) -> Any:
    """Shares of a domain (counts of units, per level), or verdicts of rows (per level)."""
    network, domain, about = Network.of(witness), witness.domain, witness.about
    all_fair = independent(network.plain, domain)
    if isinstance(about, Tree):
        real, single = check_tree(network, domain, about, root(domain))
        if all_fair:
            real = (real[0], real[1], units(domain, root(domain)) - real[0] - real[1], ZERO)
        return [real, single]
    assert isinstance(about, Rows)
    width = 2 * sum(f.width for f in domain.features if f.sensitive or f.eps)
    if len(rows) != len(about.code) or len(about.pairs) != width * about.code.count(PAIR):
        raise ValueError("a witness of other rows")
    pairs, trees = (about.pairs[i : i + width] for i in itertools.count(0, width)), iter(about.trees)
    proofs = [next(pairs) if c == PAIR else next(trees) if c == TREE else None for c in about.code]
    found = [check_row(network, domain, list(row), c, p) for row, c, p in zip(rows, about.code, proofs, strict=True)]
    if all_fair:
        found = [[int(_inside(domain, row)), single] for row, (_, single) in zip(rows, found, strict=True)]
    return found


def main(arguments: Sequence[str]) -> None:
    """Print what the witness proves."""
    witness = read_witness(Path(arguments[0]).read_bytes(), arguments[0])
    found = check(witness, json.loads(Path(arguments[1]).read_bytes()) if len(arguments) > 1 else ())
    sys.stdout.write(json.dumps(found, default=str) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
