"""Streams served in small batches: the gap over everybody, and what it costs, with both online algorithms.

    python examples/streams/run.py                  # 20 000 people, one stream of each kind and mix: about two minutes
    python examples/streams/run.py --readme         # the table of the README: about ten minutes
    python examples/streams/run.py --people 2000 --batches 1 16 --mixes 0 9

Each line is the worst over all streams of a kind. ε = 0.02 on the difference of the groups' mean prediction, the box is
[0, 1]. Cost is the mean squared difference of prediction and score; the cheapest in hindsight is the layer's projection
of the whole stream, which no algorithm can know before the stream has ended. a → b is PooledPrimalDual without and with
a grace; the gaps are those with it, as without it none is above ε at any moment, which is checked. The target is a cost
of at most 1.05 times the cheapest (1.02 times from 100 000 people on) and 1e-4.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from streams import KINDS, MIXES, Stream, draw

from certifair.errors import InputError
from certifair.layer import FairnessLayer
from certifair.online import Online
from certifair.online.paper import PrimalDual
from certifair.online.pooled import PooledPrimalDual, WarmUp

EPSILON = "0.02"
BATCHES = (1, 4, 16, 64, 256)
GRACE = 1900
SETTLED = 1000
README = (
    ("stationary", 20_000, 3, BATCHES),
    ("stationary", 100_000, 1, (1, 16)),
    ("drifting", 20_000, 3, (1, 16)),
    ("one group first", 20_000, 3, (1, 16)),
)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Served:
    """One stream, batch size and setting: the pooled gap at the end, the largest after SETTLED people, the cost."""

    final: float
    worst: float
    cost: float


@dataclass(frozen=True)
class Found:
    """One stream, one batch size. `average` is of the gaps of batches, weighted by people."""

    cheapest: float
    target: float
    strict: Served
    graced: Served
    paper_pooled: float
    paper_average: float
    paper_skipped: float


def pooled_gaps(stream: Stream, predictions: Floats, batch: int) -> Floats:
    """After each batch: the largest difference of two groups' means over all people so far."""
    ends = np.minimum(np.arange(batch, len(predictions) + batch, batch), len(predictions)) - 1
    means = []
    for group in range(len(stream.mix.values)):
        inside = stream.groups == group
        with np.errstate(invalid="ignore"):
            means.append((np.cumsum(predictions * inside) / np.cumsum(inside))[ends])
    found: Floats = np.nanmax(means, axis=0) - np.nanmin(means, axis=0)
    return found


def batch_gaps(stream: Stream, predictions: Floats, batch: int) -> tuple[float, float]:
    """(average of the batches' gaps, weighted by people; share of people whose batch holds one group alone)."""
    gaps, people = [], []
    for begin in range(0, len(predictions), batch):
        y, g = predictions[begin : begin + batch], stream.groups[begin : begin + batch]
        means = [y[g == group].mean() for group in np.unique(g)]
        if len(means) > 1:
            gaps.append(max(means) - min(means))
            people.append(len(y))
    return (float(np.average(gaps, weights=people)) if people else 0.0, 1 - sum(people) / len(predictions))


def serve(algorithm: Online[Any], state: Any, stream: Stream, batch: int) -> tuple[Floats, Any]:
    """Everybody's prediction, and the last state."""
    found = []
    values = np.array(stream.mix.values)[stream.groups]
    for begin in range(0, len(values), batch):
        people = slice(begin, begin + batch)
        state, predictions, _ = algorithm.step(state, stream.scores[people], values[people])
        found.append(predictions)
    return np.concatenate(found), state


def cost(stream: Stream, predictions: Floats) -> float:
    return float(np.mean((predictions - stream.scores) ** 2))


def cheapest(stream: Stream) -> float:
    """Of the offline projection."""
    layer = FairnessLayer("demographic_parity", EPSILON)
    return cost(stream, layer(torch.from_numpy(stream.scores), stream.groups).numpy())


def warmed(stream: Stream, people: int) -> WarmUp | None:
    """So many other people of the same mix, not in any order."""
    if not people:
        return None
    others = draw(stream.mix, "stationary", people, seed=10**6)
    return WarmUp(others.scores, np.array(stream.mix.values)[others.groups])


def served(stream: Stream, predictions: Floats, batch: int) -> Served:
    gaps = pooled_gaps(stream, predictions, batch)
    settled = min(-(-SETTLED // batch), len(gaps)) - 1
    return Served(float(gaps[-1]), float(gaps[settled:].max()), cost(stream, predictions))


def measure(stream: Stream, batch: int, least: float, args: argparse.Namespace) -> Found:
    """Both algorithms on one stream; `least` is what `cheapest` found."""
    groups: dict[str, Any] = {"features": ["group"], "values": {"group": stream.mix.values}}
    pooled = []
    for grace in (0, args.grace):
        algorithm = PooledPrimalDual("demographic_parity", EPSILON, grace=grace, **groups)
        predictions, _ = serve(algorithm, algorithm.init(warmed(stream, args.warm_up)), stream, batch)
        pooled.append(served(stream, predictions, batch))
    paper = PrimalDual("demographic_parity", EPSILON, **groups)
    predictions, _ = serve(paper, paper.init(), stream, batch)
    average, skipped = batch_gaps(stream, predictions, batch)
    factor = 1.02 if len(predictions) >= 100_000 else 1.05
    return Found(
        cheapest=least,
        target=factor * least + 1e-4,
        strict=pooled[0],
        graced=pooled[1],
        paper_pooled=float(pooled_gaps(stream, predictions, batch)[-1]),
        paper_average=average,
        paper_skipped=skipped,
    )


HEAD = """| stream | people | batch | gap: end | after {settled} | ÷ cheapest | excess·10⁴ | target \
| paper: gap | average | alone |
|---|---|---|---|---|---|---|---|---|---|---|"""


def row(title: str, batch: int, found: list[Found]) -> str:
    """The worst of each figure; ratios only where there is something to divide by."""
    ratios, excesses, met = [], [], []
    for name in ("strict", "graced"):
        costs = [(getattr(one, name).cost, one) for one in found]
        ratio = max((cost / one.cheapest for cost, one in costs if one.cheapest > 1e-3), default=None)
        ratios.append("–" if ratio is None else f"{ratio:.3f}")
        excesses.append(f"{1e4 * max(cost - one.cheapest for cost, one in costs):.1f}")
        met.append(f"{np.mean([cost <= one.target for cost, one in costs]):.0%}")
    gaps = [max(getattr(one.graced, name) for one in found) for name in ("final", "worst")]
    paper = [max(getattr(one, f"paper_{name}") for one in found) for name in ("pooled", "average", "skipped")]
    return (
        f"| {title} | {batch} | {gaps[0]:.4f} | {gaps[1]:.4f} | {' → '.join(ratios)} | {' → '.join(excesses)} "
        f"| {' → '.join(met)} | {paper[0]:.3f} | {paper[1]:.3f} | {paper[2]:.0%} |"
    )


def lines(kind: str, people: int, seeds: int, batches: Sequence[int], args: argparse.Namespace) -> bool:
    """Print a line for each batch size; whether without a grace no pooled gap that was looked at is above ε."""
    title = f"{kind} | {people:,}".replace(",", " ") + (f", {args.warm_up} known" if args.warm_up else "")
    streams = [draw(MIXES[mix], kind, people, seed) for mix in args.mixes for seed in range(seeds)]
    least = [cheapest(stream) for stream in streams]
    kept = True
    for batch in batches:
        found = [measure(stream, batch, low, args) for stream, low in zip(streams, least, strict=True)]
        print(row(title, batch, found), flush=True)
        kept &= all(one.strict.worst <= float(EPSILON) for one in found)
        if args.each:
            for stream, one in zip(streams, found, strict=True):
                told = f"cost {one.strict.cost:.6f} → {one.graced.cost:.6f}, cheapest {one.cheapest:.6f}"
                print(f"    {stream.mix.name}: gap {one.graced.final:.4f}, {told}", file=sys.stderr)
    return kept


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readme", action="store_true", help="the README's streams and batch sizes")
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=1, help="streams of each kind and mix")
    parser.add_argument("--grace", type=int, default=GRACE, help="people for whom the limit is wider")
    parser.add_argument("--warm-up", type=int, default=0, help="people known beforehand, but not served")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--mixes", type=int, nargs="+", default=range(len(MIXES)), help="by number, from 0")
    parser.add_argument("--each", action="store_true", help="on stderr, also each stream by itself")
    return parser


def main() -> int:
    args = arguments().parse_args()
    if (
        min(args.people, args.seeds, *args.batches) < 1
        or args.warm_up < 0
        or not set(args.mixes) <= set(range(len(MIXES)))
    ):
        raise InputError(
            "people, seeds and batches are positive, mixes are numbers", advice=f"mixes: 0 to {len(MIXES) - 1}"
        )
    chosen = README if args.readme else [(kind, args.people, args.seeds, args.batches) for kind in args.kinds]
    print(HEAD.format(settled=f"{SETTLED:,}".replace(",", " ")))
    kept = True
    for kind, people, seeds, batches in chosen:
        kept &= lines(kind, people, seeds, batches, args)
    return 0 if kept else 1


if __name__ == "__main__":
    try:
        code = main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    sys.exit(code)
