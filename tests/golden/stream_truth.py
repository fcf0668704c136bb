"""What is true of a stream of people: collections, averages, and the paper's dual steps, with fractions.

`people` are in the order in which they were served. Those of a log have its columns, and in `algorithm` and `head` what
its header says and the head that follows from its records (see tests/golden/logs.py).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

Json = dict[str, Any]
Person = dict[str, Any]
Means = Callable[[Sequence[Person]], list[list[Fraction | None]]]


def runs(people: Sequence[Person]) -> list[list[Person]]:
    """The batches, in order."""
    return [list(members) for _, members in itertools.groupby(people, lambda person: str(person["batch"]))]


def interleaved(people: Sequence[Person]) -> bool:
    return len(runs(people)) > len({str(person["batch"]) for person in people})


def collections(claim: Json, people: Sequence[Person]) -> list[list[Person]]:
    """Those of a claim of form pooled, moment or window; none if so many people never come together."""
    batches, span = runs(people), claim["span"]
    if claim["form"] == "pooled":
        return [list(people)]
    found = []
    for last in range(1, len(batches) + 1):
        for start in [0] if claim["form"] == "moment" else range(last - 1, -1, -1):
            members = list(itertools.chain(*batches[start:last]))
            if len(members) >= span:
                found.append(members)
                break
    return found


def pairs(blocks: Sequence[Sequence[Fraction | None]]) -> Iterator[Fraction | None]:
    """Of each row in order the difference of two means; None without somebody in both cells."""
    for block in blocks:
        for a, b in itertools.combinations(block, 2):
            yield None if a is None or b is None else abs(a - b)


def lines(people: Sequence[Person], means: Means) -> list[list[tuple[int, Fraction | None]]]:
    """For each row, batch after batch: its people, and the row's value."""
    found = [[(len(batch), value) for value in pairs(means(batch))] for batch in runs(people)]
    return [list(line) for line in zip(*found, strict=True)]


def average(line: Sequence[tuple[int, Fraction | None]]) -> Fraction | None:
    """Weighted by people, over the batches in which the row counts."""
    people = sum(b for b, value in line if value is not None)
    return sum((b * value for b, value in line if value is not None), Fraction(0)) / people if people else None


def skipped(line: Sequence[tuple[int, Fraction | None]]) -> Fraction:
    return Fraction(sum(b for b, value in line if value is None), sum(b for b, _ in line))


def duals(people: Sequence[Person]) -> tuple[list[float], list[list[float]]] | None:
    """Of a log whose steps follow (12.4): eta of each batch; for each row the multipliers, with the one after the last.

    None if they do not.
    """
    algorithm, batches = people[0]["algorithm"], runs(people)
    names = [key for key in people[0] if key.startswith("multiplier.")]
    gaps = lines(people, lambda members: layer_means(algorithm, members))
    step = algorithm["start"]["step"] + 1
    now = [float.fromhex(text) for text in algorithm["start"]["multipliers"]]
    etas, found = [], [[value] for value in now]
    epsilon, eta0 = (float(Fraction(algorithm[key])) for key in ("epsilon", "eta0"))
    if len(names) != len(now) or len(gaps) != len(now):
        return None
    for t, batch in enumerate(batches):
        eta = eta0 / math.sqrt(step)
        expected = (step, eta, *now)
        if any((person["step"], person["eta"], *(person[name] for name in names)) != expected for person in batch):
            return None
        values = [gaps[k][t][1] for k in range(len(now))]
        now = [
            old if gap is None else max(0.0, old + eta * (float(len(batch)) * (float(gap) - epsilon)))
            for old, gap in zip(now, values, strict=True)
        ]
        step += any(gap is not None for gap in values)
        etas.append(eta)
        for line, value in zip(found, now, strict=True):
            line.append(value)
    return etas, found


def layer_means(algorithm: Json, people: Sequence[Person]) -> list[list[Fraction | None]]:
    """The means of what was served, of each group of each partition of the algorithm (demographic parity)."""
    features = [[name] for name in algorithm["sensitiveFeatures"]]
    blocks = []
    for names in [algorithm["sensitiveFeatures"]] if algorithm["intersectional"] else features:
        block: list[Fraction | None] = []
        for group in itertools.product(*(algorithm["values"][name] for name in names)):
            served = [Fraction(p["served"]) for p in people if tuple(p[name] for name in names) == group]
            block.append(sum(served, Fraction(0)) / len(served) if served else None)
        blocks.append(block)
    return blocks


def promises(people: Sequence[Person], epsilon: Fraction) -> list[Fraction] | None:
    """The bound that the last multiplier gives on each row's average; None if there is none."""
    steps = duals(people)
    if steps is None:
        return None
    etas, multipliers = steps
    found = []
    for k, line in enumerate(lines(people, lambda members: layer_means(people[0]["algorithm"], members))):
        counts = [t for t, (_, value) in enumerate(line) if value is not None]
        if not counts:
            return None
        rounding = Fraction(0)
        for t in counts:
            people_, value = line[t]
            assert value is not None
            moved = (Fraction(multipliers[k][t + 1]) - Fraction(multipliers[k][t])) / Fraction(etas[t])
            rounding += max(Fraction(0), people_ * (value - epsilon) - moved)
        total = Fraction(multipliers[k][-1]) / Fraction(etas[counts[-1]]) + rounding
        found.append(epsilon + total / sum(line[t][0] for t in counts))
    return found
