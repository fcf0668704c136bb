"""Streams served in small batches: the gap over everybody, and what it costs, with both online algorithms.

    python examples/streams/run.py                  # 20 000 people, one stream of each kind and mix: about two minutes
    python examples/streams/run.py --all            # three streams of each; after a warm-up; then 100 000 people
    python examples/streams/run.py --people 2000 --batches 1 16 --mixes 0 9

Prints the table of the README: each line is the worst over all streams of a kind. ε = 0.02 on the difference of the
groups' mean prediction, the box is [0, 1]. Cost is the mean squared difference of prediction and score; the cheapest in
hindsight is the layer's projection of the whole stream, which no algorithm can know before the stream has ended.
"""

from __future__ import annotations

import argparse
import sys
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
SETTLED = 1000
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """One stream, one batch size. Gaps are pooled ones but for `average`, that of batches, weighted by people."""

    final: float
    worst: float
    cost: float
    cheapest: float
    limited: float
    paper_pooled: float
    paper_average: float
    paper_skipped: float

    @property
    def excess(self) -> float:
        return self.cost - self.cheapest


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


def measure(stream: Stream, batch: int, least: float, warm_up: int) -> Found:
    """Both algorithms on one stream; `least` is what `cheapest` found."""
    groups: dict[str, Any] = {"features": ["group"], "values": {"group": stream.mix.values}}
    pooled, paper = (kind("demographic_parity", EPSILON, **groups) for kind in (PooledPrimalDual, PrimalDual))
    predictions, state = serve(pooled, pooled.init(warmed(stream, warm_up)), stream, batch)
    gaps = pooled_gaps(stream, predictions, batch)
    of_paper, _ = serve(paper, paper.init(), stream, batch)
    average, skipped = batch_gaps(stream, of_paper, batch)
    return Found(
        final=float(gaps[-1]),
        worst=float(gaps[min(max(0, SETTLED // batch - 1), len(gaps) - 1) :].max()),
        cost=cost(stream, predictions),
        cheapest=least,
        limited=state.moved / len(predictions),
        paper_pooled=float(pooled_gaps(stream, of_paper, batch)[-1]),
        paper_average=average,
        paper_skipped=skipped,
    )


HEAD = """| {title} | batch | pooled gap: end | worst after {settled} | cost ÷ cheapest | cost − cheapest | \
moved by the limit | paper: pooled gap | average gap of batches | people in batches of one group |
|---|---|---|---|---|---|---|---|---|---|"""


def row(kind: str, batch: int, found: list[Found]) -> str:
    """The worst of each figure; ratios only where there is something to divide by."""
    ratios = [one.cost / one.cheapest for one in found if one.cheapest > 1e-3]
    worst = [max(getattr(one, name) for one in found) for name in ("final", "worst", "excess", "limited")]
    paper = [max(getattr(one, f"paper_{name}") for one in found) for name in ("pooled", "average", "skipped")]
    ratio = f"{max(ratios):.3f}" if ratios else "–"
    return (
        f"| {kind} | {batch} | {worst[0]:.4f} | {worst[1]:.4f} | {ratio} | {worst[2]:.5f} | {worst[3]:.1%} "
        f"| {paper[0]:.3f} | {paper[1]:.3f} | {paper[2]:.0%} |"
    )


def table(people: int, seeds: int, warm_up: int, args: argparse.Namespace) -> bool:
    """Print one table; whether every pooled gap was at most ε at every moment looked at."""
    title = f"{people:,} people".replace(",", " ") + (f" after a warm-up of {warm_up}" if warm_up else "")
    print(HEAD.format(title=title, settled=SETTLED))
    kept = True
    for kind in args.kinds:
        streams = [draw(MIXES[mix], kind, people, seed) for mix in args.mixes for seed in range(seeds)]
        least = [cheapest(stream) for stream in streams]
        for batch in args.batches:
            found = [measure(stream, batch, low, warm_up) for stream, low in zip(streams, least, strict=True)]
            print(row(kind, batch, found), flush=True)
            kept &= all(one.worst <= float(EPSILON) for one in found)
            if args.each:
                for stream, one in zip(streams, found, strict=True):
                    told = f"{one.cost:.6f}, cheapest {one.cheapest:.6f}, moved {one.limited:.2%}"
                    print(f"    {stream.mix.name}: gap {one.final:.4f}, cost {told}", file=sys.stderr)
    return kept


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="three streams of each; with a warm-up; 100 000 people")
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=1, help="streams of each kind and mix")
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
    if not args.all:
        return 0 if table(args.people, args.seeds, args.warm_up, args) else 1
    kept = True
    for people, seeds, warm_up in ((20_000, 3, 0), (20_000, 3, 1000), (100_000, 1, 0)):
        kept &= table(people, seeds, warm_up, args)
        print()
    return 0 if kept else 1


if __name__ == "__main__":
    try:
        code = main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    sys.exit(code)
