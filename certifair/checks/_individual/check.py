"""The whole check of a witness."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from time import monotonic
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._individual import by_integers, trees
from certifair.checks._individual import rows as of_rows
from certifair.checks._individual.boxes import Frame
from certifair.checks._individual.floats import Array
from certifair.checks._individual.independence import independent
from certifair.checks._individual.leaves import Clock, Pair
from certifair.checks._individual.points import LEVELS, Judge
from certifair.checks._individual.smooth import judge_of, points_only
from certifair.evidence.witness import Rows, Tree, Witness, bytes_to_check, layers_to_json
from certifair.spec.domain import Domain
from certifair.spec.layers import Layers


@final
@dataclass(frozen=True)
class Shares:
    """Units (or their volume) of the domain: proven fair, on a known side or not, and proven unfair."""

    units: Fraction
    positive: Fraction
    negative: Fraction
    mixed: Fraction
    falsified: Fraction

    @property
    def certified(self) -> Fraction:
        """The proven fair share, in [0, 1]; so are the next two, and all three add up to 1."""
        return self._share(self.positive + self.negative + self.mixed)

    @property
    def falsified_share(self) -> Fraction:
        return self._share(self.falsified)

    @property
    def undecided(self) -> Fraction:
        return 1 - self.certified - self.falsified_share

    def _share(self, part: Fraction) -> Fraction:
        return part / self.units if self.units else Fraction(0)


@final
@dataclass(frozen=True, eq=False)
class Checked:
    """What a witness proves.

    Of a domain `shares`; of rows `verdicts` (rows,), 0 undecided, 1 fair, 2 unfair, by the name of the level; `reasons`
    (rows,) indexes REASONS for what is undecided at the real level. pairs: (row or −1, two points that decide
    differently). nodes: how many of each kind (of rows: of each code) were looked at. complete: not cut off by the
    deadline; what was not looked at is undecided.
    """

    shares: Mapping[str, Shares] = field(default_factory=dict)
    verdicts: Mapping[str, NDArray[np.int8]] = field(default_factory=dict)
    reasons: NDArray[np.int8] | None = None
    pairs: tuple[tuple[int, Pair], ...] = ()
    nodes: Mapping[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    complete: bool = True


def check_witness(
    witness: Witness,
    layers: Layers,
    domain: Domain,
    rows: Array | None = None,
    *,
    integers: bool = False,
    memory: int = 1 << 31,
    progress: Callable[[float], None] | None = None,
    deadline: float | None = None,
) -> Checked:
    """What the witness proves of this network and domain (and rows). deadline: of time.monotonic.

    integers: by `by_integers`, which knows no deadline. Errors: ValueError for a witness of another network, domain or
    number of rows, a tree that is no proof tree, or one whose boxes and results need more than `memory` bytes.
    """
    began = monotonic()
    if witness.domain != domain or witness.layers != layers_to_json(layers):
        raise ValueError("a witness of another network or another domain")
    if layers.inputs != domain.inputs:
        raise ValueError(f"a network of {layers.inputs} inputs, a domain of {domain.inputs}")
    nodes = len(witness.about.kind) if isinstance(witness.about, Tree) else 0
    if bytes_to_check(nodes, len(domain.features)) > memory:
        raise ValueError(f"a tree of {nodes} nodes needs more than {memory} bytes")
    if integers:
        return dataclasses.replace(_in_integers(witness, rows), seconds=monotonic() - began)
    clock = Clock(deadline, progress)
    found = _in_floats(witness, layers, rows, clock)
    if independent(layers, domain):
        found = _all_fair(found, domain, rows)
    return dataclasses.replace(found, seconds=monotonic() - began, complete=not clock.cut_off)


def _in_floats(witness: Witness, layers: Layers, rows: Any, clock: Clock) -> Checked:
    about, frame = witness.about, Frame(witness.domain)
    if isinstance(about, Rows):
        shape = (len(about.code), frame.domain.inputs)
        if rows is None or rows.dtype != np.float64 or rows.shape != shape:
            raise ValueError("a witness of other rows")
    if not layers.piecewise_linear:
        about = points_only(about)
        if any(layer.relative.any() for layer in layers.layers):
            return _nothing(witness)
    judge = judge_of(layers)
    if isinstance(about, Tree):
        return _of_domain(trees.check_tree(judge, frame, about, clock))
    return _of_rows(judge, frame, about, rows, clock)


def _all_fair(found: Checked, domain: Domain, rows: Any) -> Checked:
    """The same, if f over the reals depends on nothing that flips: all are fair there, whatever the witness proves.

    Of a side is known what was. Rows outside of the domain stay as they are.
    """
    if found.shares:
        real = found.shares["real"]
        mixed = real.units - real.positive - real.negative
        real = dataclasses.replace(real, mixed=mixed, falsified=Fraction(0))
        return dataclasses.replace(found, shares={**found.shares, "real": real})
    assert found.reasons is not None
    inside, _ = Frame(domain).values(rows)
    verdict = np.where(inside, of_rows.FAIR, found.verdicts["real"]).astype(np.int8)
    reasons = np.where(inside, of_rows.NOTHING, found.reasons).astype(np.int8)
    return dataclasses.replace(found, verdicts={**found.verdicts, "real": verdict}, reasons=reasons)


def _in_integers(witness: Witness, rows: Any) -> Checked:
    found = by_integers.check(witness, () if rows is None else rows.tolist())
    if isinstance(witness.about, Tree):
        units = Fraction(witness.domain.units)
        return Checked({level: Shares(units, *counts) for level, counts in zip(LEVELS, found, strict=True)})
    verdicts = np.array(found, dtype=np.int8).reshape(-1, 2)
    return Checked(verdicts={level: verdicts[:, i] for i, level in enumerate(LEVELS)})


def _nothing(witness: Witness) -> Checked:
    """Of a network with curves and weights that are no floats nothing is proven."""
    if isinstance(witness.about, Tree):
        units = Fraction(witness.domain.units)
        return Checked(dict.fromkeys(LEVELS, Shares(units, *[Fraction(0)] * 4)))
    none = np.zeros(len(witness.about.code), dtype=np.int8)
    return Checked(verdicts=dict.fromkeys(LEVELS, none), reasons=none + of_rows.CURVED)


def _of_domain(result: trees.TreeResult) -> Checked:
    shares = {}
    for level, counts in zip(LEVELS, result.counts, strict=True):
        shares[level] = Shares(result.units, *counts)
    pairs = tuple((-1, pair) for pair in result.pairs)
    return Checked(shares, pairs=pairs, nodes=result.visited)


def _of_rows(judge: Judge, frame: Frame, about: Rows, rows: Any, clock: Clock) -> Checked:
    result = of_rows.check_rows(judge, frame, about, rows, clock)
    verdicts = {level: result.verdict[:, i] for i, level in enumerate(LEVELS)}
    return Checked(verdicts=verdicts, reasons=result.reason, pairs=tuple(result.pairs()), nodes=result.visited)
