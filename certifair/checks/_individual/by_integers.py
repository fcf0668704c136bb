"""The whole check of a witness in the standard library alone, for who trusts no floating point: slow, and short.

python -m certifair.checks._individual.by_integers WITNESS.json [ROWS.json]

ROWS.json: a list of lists, the rows as the network reads them. The theorems are those of `counting`, `trees` and
`sweeps`; here every number is exact. A trimmed leaf is taken for a counted one: no range is shortened, so that less may
be proven of it than `trimmed` does, but nothing else.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor, isfinite, prod
from pathlib import Path
from typing import Any, Final, final

from certifair.checks._individual import integers
from certifair.checks._individual.integers import Bounds, ExactLayer
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
    PlainLayer,
    Rows,
    Tree,
    Witness,
    plain_layers,
    read_witness,
)
from certifair.exact import piecewise
from certifair.spec.domain import Domain, Feature

Range = tuple[Fraction, Fraction]
Box = tuple[Range, ...]
Counts = tuple[Fraction, Fraction, Fraction, Fraction]
"""Units proven positive, negative, fair without a side, unfair."""
ZERO: Final = Fraction(0)
BINS: Final = 1024
CELLS: Final = 64
HALVINGS: Final = 8


@final
@dataclass(frozen=True)
class Network:
    """A network in the forms that are needed; levels: whether weights may be inexact, and the claim for float32."""

    plain: list[PlainLayer]
    exact: tuple[ExactLayer, ...]
    single: bool

    @staticmethod
    def of(witness: Witness) -> Network:
        plain = plain_layers(witness.layers)
        return Network(plain, integers.exact_layers(plain), all(item["float32"] is True for item in witness.layers))

    def errors(
        self, ranges: Any, inputs: Sequence[Fraction], rounds: Sequence[Fraction | None]
    ) -> list[Fraction | None]:
        """How far the number that decides may be from f: over the reals, and as float32; None if not known."""
        curved = any(any(layer.curve) for layer in self.plain)
        inexact = any(any(layer.relative) for layer in self.plain)
        none = [ZERO] * len(inputs)
        real = integers.drift(self.plain, ranges, inputs, none, single=False) if inexact else ZERO
        known = [value for value in rounds if value is not None]
        single = None
        if self.single and len(known) == len(rounds):
            single = integers.drift(self.plain, ranges, inputs, known, single=True)
        return [None, None] if curved else [real, single]

    def signs(self, x: Sequence[Fraction]) -> list[int]:
        """At both levels 1, −1 or 0 (not known), at a dyadic point."""
        found = integers.enclose(self.exact, x, x)
        rounds = [ZERO if _is_single(v) else _rounding(v) for v in x]
        errors = self.errors(found.ranges, [abs(v) for v in x], rounds)
        real, single = (_sign(found.centre, found.centre, error) for error in errors)
        if single == 0 and self.single and not any(rounds) and integers.sums_only(self.plain):
            single = real if integers.exact32(self.plain, x) else 0
        return [real, single]


def _sign(low: Fraction, high: Fraction, error: Fraction | None) -> int:
    if error is None:
        return 0
    return 1 if low > error else -1 if high <= -error else 0


def _is_single(value: Fraction) -> bool:
    """Whether a dyadic number is a float32 (or 0), not a subnormal one."""
    odd = value.numerator // (value.numerator & -value.numerator or 1)
    return odd.bit_length() <= 24 and (not value or Fraction(1, 1 << 126) <= abs(value) < 1 << 127)


def _rounding(value: Fraction) -> Fraction | None:
    """How far a number may be from a float32; None where that may be infinite."""
    return abs(value) / (1 << 24) + Fraction(1, 1 << 149) if abs(value) < 1 << 127 else None


def _rounds(domain: Domain, most: Sequence[Fraction]) -> list[Fraction | None]:
    """`_rounding` of inputs of at most these magnitudes; integers are float32 numbers."""
    return [
        _rounding(most[i]) if feature.kind == "continuous" else ZERO
        for feature, columns in zip(domain.features, domain.columns, strict=True)
        for i in columns
    ]


def root(domain: Domain) -> Box:
    """The whole domain: ranges of values, or of one-hot positions."""
    return tuple(
        (ZERO, Fraction(f.width - 1)) if f.kind == "one_hot" else (Fraction(f.low), Fraction(f.high))
        for f in domain.features
    )


def relaxed(domain: Domain, box: Box) -> Box:
    """Widened by ±eps, within the domain."""
    ends = zip(domain.features, box, root(domain), strict=True)
    return tuple((max(a - Fraction(f.eps), c), min(b + Fraction(f.eps), d)) for f, (a, b), (c, d) in ends)


def hull(domain: Domain, box: Box) -> tuple[list[Fraction], list[Fraction]]:
    """The ranges of the network's inputs."""
    low: list[Fraction] = []
    high: list[Fraction] = []
    for f, (a, b) in zip(domain.features, box, strict=True):
        if f.kind == "one_hot":
            low += [Fraction(a == b == j) for j in range(f.width)]
            high += [Fraction(a <= j <= b) for j in range(f.width)]
        else:
            low.append(a)
            high.append(b)
    return low, high


def units(domain: Domain, box: Box) -> Fraction:
    """How many units a box has, or their volume."""
    sizes = [(b - a if f.levels is None else b - a + 1) for f, (a, b) in _units(domain, box)]
    return prod(sizes, start=Fraction(1))


def _units(domain: Domain, box: Box) -> list[tuple[Feature, Range]]:
    return [(f, ends) for f, ends in zip(domain.features, box, strict=True) if not f.sensitive]


def _values(f: Feature, ends: Range) -> list[tuple[Fraction, ...]]:
    """The inputs of every value in a range. Errors: ValueError if there is no end of them."""
    a, b = ends
    if f.kind == "continuous":
        if a != b:
            raise ValueError("an enumeration of something continuous")
        return [(a,)]
    places = range(ceil(a), floor(b) + 1)
    if f.kind == "one_hot":
        return [tuple(Fraction(i == j) for j in range(f.width)) for i in places]
    return [(Fraction(v),) for v in places]


def flip_sets(domain: Domain, box: Box) -> Iterator[Iterator[list[Fraction]]]:
    """For each unit of the box all points of its flip set."""
    features = domain.features
    moving: list[Any] = [
        range(ceil(a), floor(b) + 1) if f.eps else _values(f, (a, b)) for f, (a, b) in zip(features, box, strict=True)
    ]
    if any(f.eps and f.kind == "continuous" for f in features):
        raise ValueError("an enumeration of something continuous")
    for unit in itertools.product(
        *(values if not f.sensitive else [None] for f, values in zip(features, moving, strict=True))
    ):
        spans: list[Any] = []
        for f, value, values, ends in zip(features, unit, moving, root(domain), strict=True):
            near = (Fraction(value) - int(f.eps), Fraction(value) + int(f.eps)) if f.eps else (ZERO, ZERO)
            span = _values(replace(f, eps=0.0), (max(near[0], ends[0]), min(near[1], ends[1]))) if f.eps else [value]
            spans.append(values if f.sensitive else span)
        yield ([v for part in parts for v in part] for parts in itertools.product(*spans))


def judged(network: Network, points: Iterator[list[Fraction]]) -> list[int]:
    """Per level 1 or −1 if f > 0 or f ≤ 0 at all points, 2 if both occur, else 0."""
    seen: list[set[int]] = [set(), set()]
    for x in points:
        for found, sign in zip(seen, network.signs(x), strict=True):
            found.add(sign)
    return [2 if {1, -1} <= s else s.pop() if len(s) == 1 else 0 for s in seen]


def enumerated(network: Network, domain: Domain, box: Box) -> list[Counts]:
    """Every point of every unit."""
    found = [[ZERO] * 4, [ZERO] * 4]
    for points in flip_sets(domain, box):
        for counts, code in zip(found, judged(network, points), strict=True):
            if code:
                counts[{1: 0, -1: 1, 2: 3}[code]] += 1
    share = units(domain, box) / prod((len(_values(f, ends)) for f, ends in _units(domain, box)), start=1)
    a, b = ((c[0] * share, c[1] * share, c[2] * share, c[3] * share) for c in found)
    return [a, b]


def counted(network: Network, domain: Domain, box: Box, along: int | None) -> list[Counts]:
    """`counting`, (1) to (5)."""
    wide = relaxed(domain, box)
    low, high = hull(domain, wide)
    bounds = integers.enclose(network.exact, low, high)
    most = [max(abs(a), abs(b)) for a, b in zip(low, high, strict=True)]
    errors = network.errors(bounds.ranges, most, _rounds(domain, most))
    parts = _Parts.of(domain, box, bounds)
    return [(ZERO,) * 4 if e is None else _leaf(domain, box, bounds, parts, e, along) for e in errors]


@final
@dataclass(frozen=True)
class _Parts:
    """F's sensitive part: extremes over A, D and G; relax. cells: what each unit feature adds to F, least and greatest
    for each of its values (a cell of a continuous feature)."""

    least: Fraction
    most: Fraction
    apart: Fraction
    gain: Fraction
    relax: Fraction
    cells: dict[int, list[Range]]

    @staticmethod
    def of(domain: Domain, box: Box, bounds: Bounds) -> _Parts:
        least = most = apart = gain = relax = ZERO
        cells = {}
        for i, (f, ends, columns) in enumerate(zip(domain.features, box, domain.columns, strict=True)):
            adds, spread = _adds(f, ends, [(bounds.slope[c], bounds.middle[c]) for c in columns]), bounds.spread
            if not f.sensitive:
                cells[i] = adds
                eps = Fraction(f.eps)
                relax += abs(bounds.slope[columns[0]]) * eps
                apart += (abs(bounds.slope[columns[0]]) + spread[columns[0]]) * 2 * eps
                continue
            values = [v for pair in adds for v in pair]
            difference = max(values) - min(values)
            least, most = least + min(values), most + max(values)
            if f.kind != "one_hot":
                unsure = spread[columns[0]] * (ends[1] - ends[0])
            else:
                inside = [spread[c] for j, c in enumerate(columns) if ends[0] <= j <= ends[1]]
                unsure = sum(sorted(inside)[-2:], ZERO) if len(inside) > 1 else ZERO
            apart += difference + unsure
            gain += max(ZERO, difference - unsure)
        apart = min(apart, most - least + 2 * relax + 2 * bounds.error)
        return _Parts(least, most, apart, max(gain, most - least - 2 * bounds.error), relax, cells)


def _adds(f: Feature, ends: Range, terms: list[tuple[Fraction, Fraction]]) -> list[Range]:
    """What each value in the range adds to F. Of a sensitive continuous feature, the ends."""
    a, b = ends
    if f.kind == "one_hot":
        other = sum((g * m for g, m in terms), ZERO)
        return [(terms[j][0] - other,) * 2 for j in range(ceil(a), floor(b) + 1)]
    ((g, middle),) = terms
    if f.levels is None:
        n = 1 if f.sensitive or a == b else CELLS
        edges = [g * (a + (b - a) * j / n - middle) for j in range(n + 1)]
        return [(min(p, q), max(p, q)) for p, q in itertools.pairwise(edges)]
    return [(g * (a + j - middle),) * 2 for j in range(int(b - a) + 1)]


@final
class _Sums:
    """How many combinations of cells (one of each list) surely have a sum > t, or ≤ t.

    A sum is at least Σ floor(least/w)·w and at most Σ ceil(greatest/w)·w, from each list's least. The number of
    combinations with each sum of floors are the digits of Π_lists Σ_cells 2^(B·floor), in base 2^B > all of them; and
    digits add up to the number modulo 2^B − 1.
    """

    def __init__(self, base: Fraction, lists: list[list[Range]]) -> None:
        self.number = prod(len(cells) for cells in lists)
        starts = [min(a for a, _ in cells) for cells in lists]
        self._base = base + sum(starts, ZERO)
        span = sum((max(b for _, b in cells) - start for cells, start in zip(lists, starts, strict=True)), ZERO)
        self._width = span / BINS or Fraction(1)
        self._most = BINS + len(lists) + 1
        self._bits = self.number.bit_length() + 1
        self._floors = self._ceils = 1
        for cells, start in zip(lists, starts, strict=True):
            self._floors *= sum(1 << self._bits * floor((a - start) / self._width) for a, _ in cells)
            self._ceils *= sum(1 << self._bits * ceil((b - start) / self._width) for _, b in cells)

    def above(self, t: Fraction) -> int:
        """Surely > t: at least this many."""
        return self._digits(self._floors >> self._bits * self._first_over(t))

    def up_to(self, t: Fraction) -> int:
        """Surely ≤ t: at least this many."""
        return self._digits(self._ceils & ((1 << self._bits * self._first_over(t)) - 1))

    def _first_over(self, t: Fraction) -> int:
        """The first sum of bins whose value is > t, if that is one."""
        return min(max(0, floor((t - self._base) / self._width) + 1), self._most)

    def between(self, above: Fraction, up_to: Fraction) -> int:
        """Surely > above and ≤ up_to."""
        return max(0, self.above(above) + self.up_to(up_to) - self.number)

    def _digits(self, number: int) -> int:
        return number % ((1 << self._bits) - 1)


def _leaf(domain: Domain, box: Box, bounds: Bounds, parts: _Parts, err: Fraction, along: int | None) -> Counts:
    """The counts of a box at one level."""
    e = bounds.error + err
    sums = _Sums(bounds.centre, list(parts.cells.values()))
    positive, negative = sums.above(e - parts.least + parts.relax), sums.up_to(-e - parts.most - parts.relax)
    mixed, falsified = ZERO, Fraction(sums.between(e - parts.most, -e - parts.least))
    if along is not None:
        cells = parts.cells[along]
        c = domain.columns[along][0]
        unit = (box[along][1] - box[along][0]) / len(cells) if domain.features[along].levels is None else Fraction(1)
        rise = (abs(bounds.slope[c]) - bounds.spread[c]) * unit, (abs(bounds.slope[c]) + bounds.spread[c]) * unit
        rest = _Sums(bounds.centre, [v for i, v in parts.cells.items() if i != along])
        if rise[0] > 0:
            bottom, top = min(a for a, _ in cells), max(b for _, b in cells)
            sure = rest.above(e - parts.least + parts.relax - bottom) + rest.up_to(-e - parts.most - parts.relax - top)
            r = min(ceil((parts.apart + 2 * err) / rise[0]), len(cells))
            mixed = Fraction(max(0, sums.number - r * (rest.number - sure) - positive - negative))
            q = min(max(0, floor((parts.gain - 2 * err) / rise[1])), len(cells) - 1)
            if q:
                late = sorted(b for _, b in cells)[q - 1]
                reached = bounds.error - err - parts.least - top
                falsified = max(falsified, Fraction(q * rest.between(reached, -e - parts.least - late)))
    share = units(domain, box) / sums.number
    return positive * share, negative * share, mixed * share, falsified * share


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
        long = any(f.levels is None for f, _ in _units(domain, box))
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


def check_row(network: Network, domain: Domain, row: Sequence[float], code: int, proof: Any) -> list[int]:
    """At both levels 0 undecided, 1 fair, 2 unfair. proof: the two points of a PAIR, the tree of a TREE."""
    parts = [tuple(row[c] for c in columns) for columns in domain.columns]
    if not all(f.contains(part) for f, part in zip(domain.features, parts, strict=True)):
        return [0, 0]
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
    bounds = integers.enclose(network.exact, low, high)
    most = [max(abs(a), abs(b)) for a, b in zip(low, high, strict=True)]
    errors = network.errors(bounds.ranges, most, _rounds(free, most))
    reach = sum((abs(g) * (b - a) / 2 for g, a, b in zip(bounds.slope, low, high, strict=True)), bounds.error)
    signs = [_sign(bounds.centre - reach, bounds.centre + reach, e) for e in errors]
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
            ends = (_sign(least, least, error), _sign(greatest, greatest, error))
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
    if isinstance(about, Tree):
        return check_tree(network, domain, about, root(domain))
    assert isinstance(about, Rows)
    width = 2 * sum(f.width for f in domain.features if f.sensitive or f.eps)
    if len(rows) != len(about.code) or len(about.pairs) != width * about.code.count(PAIR):
        raise ValueError("a witness of other rows")
    pairs, trees = (about.pairs[i : i + width] for i in itertools.count(0, width)), iter(about.trees)
    proofs = [next(pairs) if c == PAIR else next(trees) if c == TREE else None for c in about.code]
    return [check_row(network, domain, list(row), c, p) for row, c, p in zip(rows, about.code, proofs, strict=True)]


def main(arguments: Sequence[str]) -> None:
    """Print what the witness proves."""
    witness = read_witness(Path(arguments[0]).read_bytes(), arguments[0])
    found = check(witness, json.loads(Path(arguments[1]).read_bytes()) if len(arguments) > 1 else ())
    sys.stdout.write(json.dumps(found, default=str) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
