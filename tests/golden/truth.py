"""What is true of a table of people: claims computed again from the raw columns, with fractions.

A claim of scope population cannot be true or false of a sample: it stands if its bounds are valid for the counts and
sums of the rows, and if they keep the threshold.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import combinations
from typing import Any

from tests.golden import stability_truth, stream_truth
from tests.golden.network import CREDIT, SMALL, Small
from tests.oracles.individual_network import Decision, read_network
from tests.oracles.individual_oracle import Claimed, Value
from tests.oracles.second_verifier import mixture_large, tail_small

Json = dict[str, Any]
Person = dict[str, Any]
MISSING = "(missing)"


def people_of(columns: dict[str, list[Any]], certify: str | None = None) -> list[Person]:
    """The rows that count; `certify` is the split they must belong to."""
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return [row for row in rows if certify is None or row["split"] == certify]


def false_claims(predicate: Json, people: Sequence[Person]) -> list[str]:
    """The ids of claims that say PASS and are not so."""
    passing = [claim for claim in predicate["claims"] if claim["verdict"] == "PASS"]
    found = [claim["id"] for claim in passing if not holds(claim, predicate, people)]
    if predicate["verdict"] == "PASS" and (len(passing) < len(predicate["claims"]) or not passing):
        found.append("the whole")
    return found


def holds(claim: Json, predicate: Json, people: Sequence[Person]) -> bool:
    """Whether a claim that passes may."""
    if claim["form"] == "projection":
        return _projected(claim, people)
    if claim["kind"] == "replay":
        limit = Fraction(claim["threshold"])
        network = _network(people)
        return all(abs(Fraction(person["score"]) - network.value(person)) <= limit for person in people)
    if claim["kind"] == "individual":
        return predicate["system"]["model"] is not None and _independent(claim, people)
    if claim["form"] == "lipschitz":
        system = predicate["system"]
        known = system["model"] is not None
        return known and stability_truth.lipschitz(claim, _network(people), system["layer"])
    if claim["kind"] == "stability":
        about = stability_truth.About(functools.partial(_members, claim), functools.partial(_joint, claim))
        return stability_truth.served_stably(claim, people, about)
    if claim["kind"] == "aggregate":
        return _streamed(claim, predicate, people)
    if claim["kind"] == "population":
        return _estimated(claim, predicate, people)
    return _everywhere(claim, people)


def _network(people: Sequence[Person]) -> Small:
    """That of the run: only one of the two reads hours."""
    return CREDIT if "hours" in people[0] else SMALL


def _independent(claim: Json, people: Sequence[Person]) -> bool:
    """Of that many the decision is the same, whatever may change; found out by trying every point."""
    domain = claim["domain"]
    if claim["map"] == "served":
        return False
    if not any(item["column"] in claim["sensitiveFeatures"] or item["eps"] != "0" for item in domain):
        return True
    decide = Decision(read_network(_network(people).model), claim["method"], Fraction(claim["decisionThreshold"]))
    rows = [[person[item["column"]] for item in domain] for person in people]
    values: list[list[Value]] = [[one if isinstance(one, str) else Fraction(one) for one in row] for row in rows]
    fair, _ = Claimed(claim, decide, {str(k): row for k, row in enumerate(values)}).shares()
    return fair >= Fraction(claim["threshold"]) * Fraction(claim["witness"]["units"])


def _value(claim: Json, person: Person) -> Fraction:
    if claim["map"] == "served":
        return Fraction(person["served"])
    score = Fraction(person["score"])
    return score if claim["map"] == "scores" else Fraction(int(score > Fraction(claim["decisionThreshold"])))


def _group(person: Person, features: Sequence[str]) -> tuple[str, ...]:
    return tuple(MISSING if person[name] is None else str(person[name]) for name in features)


def _in_condition(claim: Json, person: Person, condition: str | None) -> bool:
    if condition is None:
        return True
    if claim["metric"] in ("equalized_odds", "equal_opportunity"):
        return person["label"] == int(condition)
    return _group(person, [claim["conditionOn"]]) == (condition,)


def _members(claim: Json, people: Sequence[Person]) -> list[list[list[int]]]:
    """For each partition and condition the people of each group, by index."""
    blocks = []
    features: list[list[str]] = [[name] for name in claim["sensitiveFeatures"]]
    for names in [claim["sensitiveFeatures"]] if claim["intersectional"] else features:
        (partition,) = [p for p in claim["partitions"] if p["features"] == names]
        for condition in claim["conditions"] or [None]:
            members: dict[tuple[str, ...], list[int]] = {tuple(group): [] for group in partition["groups"]}
            for k, person in enumerate(people):
                if _in_condition(claim, person, condition):
                    members[_group(person, names)].append(k)
            blocks.append(list(members.values()))
    return blocks


def _cells(claim: Json, people: Sequence[Person]) -> list[list[list[Fraction]]]:
    """The values of the people of `_members` (label − value for residuals)."""
    residual = claim["metric"] == "equalized_residuals"

    def value(person: Person) -> Fraction:
        return Fraction(person["label"]) - _value(claim, person) if residual else _value(claim, person)

    return [[[value(people[k]) for k in group] for group in block] for block in _members(claim, people)]


def _joint(claim: Json, person: Person) -> tuple[tuple[str, ...], str | None]:
    """All groups of a person, and the condition, if any."""
    condition = next((one for one in claim["conditions"] if _in_condition(claim, person, one)), None)
    return _group(person, claim["sensitiveFeatures"]), condition


def _good(claim: Json, value: Fraction) -> bool:
    threshold, tau = Fraction(claim["threshold"]), Fraction(claim["tau"])
    return value >= threshold - tau if claim["form"] == "ratio" else value <= threshold + tau


def _everywhere(claim: Json, people: Sequence[Person]) -> bool:
    """In every batch every row is decided and keeps the threshold, and everybody lies in the box."""
    batches: dict[str, list[Person]] = {}
    for person in people:
        batches.setdefault(str(person["batch"]), []).append(person)
    bounds, tau = claim["witness"].get("bounds"), Fraction(claim["tau"])
    served = [Fraction(person["served"]) for person in people]
    inside = bounds is None or all(
        Fraction(bounds["lower"]) - tau <= value <= Fraction(bounds["upper"]) + tau for value in served
    )
    return inside and all(_decided(claim, members) for members in batches.values())


def _decided(claim: Json, people: Sequence[Person]) -> bool:
    """Every row is decided by these people, and keeps the threshold."""
    for groups in _cells(claim, people):
        if any(len(group) < max(1, claim["minGroupSize"]) for group in groups):
            return False
        means = [sum(group) / len(group) for group in groups]
        if not all(_good(claim, value) for value in _values(claim, means)):
            return False
    return True


def _streamed(claim: Json, predicate: Json, people: Sequence[Person]) -> bool:
    """Of a stream: its collections, its batches row by row, or its log."""
    form = claim["form"]
    if stream_truth.interleaved(people):
        return False
    if form in ("pooled", "moment", "window"):
        found = stream_truth.collections(claim, people)
        return bool(found) and all(_decided(claim, members) for members in found)
    if form == "chain":
        witness, heads = claim["witness"], {person.get("head") for person in people}
        return heads == {witness["head"]} and witness["records"] == len(people)
    if form == "steps":
        return stream_truth.duals(people) is not None
    lines = stream_truth.lines(people, lambda members: _means(claim, members))
    if form == "skipped":
        return all(_good(claim, stream_truth.skipped(line)) for line in lines)
    averages = [stream_truth.average(line) for line in lines]
    if form == "bound":
        bounds = stream_truth.promises(people, Fraction(predicate["system"]["layer"]["epsilon"]))
        return bounds is not None and all(
            value is not None and value <= bound and _good(claim, bound)
            for value, bound in zip(averages, bounds, strict=True)
        )
    return all(value is not None and _good(claim, value) for value in averages)


def _means(claim: Json, people: Sequence[Person]) -> list[list[Fraction | None]]:
    return [[sum(group) / len(group) if group else None for group in groups] for groups in _cells(claim, people)]


def _values(claim: Json, means: Sequence[Fraction]) -> Iterable[Fraction]:
    if claim["metric"] == "equalized_residuals":
        return [abs(mean) for mean in means]
    if claim["form"] != "ratio":
        return [abs(a - b) for a, b in combinations(means, 2)]
    return [
        min(a, b) / max(a, b) if max(a, b) > 0 and min(a, b) >= 0 else Fraction(-1) for a, b in combinations(means, 2)
    ]


def _projected(claim: Json, people: Sequence[Person]) -> bool:
    """Parity of two groups far inside the box: the projection moves each group by one step, in closed form."""
    layer = claim["witness"]["layer"]
    epsilon = Fraction(layer["epsilon"])
    for batch in {str(person["batch"]) for person in people}:
        members = [person for person in people if str(person["batch"]) == batch]
        groups = [[p for p in members if p["sex"] == sex] for sex in ("f", "m")]
        if not all(groups):
            return False
        f, m = (sum(Fraction(p["score"]) for p in group) / len(group) for group in groups)
        step = max(abs(f - m) - epsilon, Fraction(0)) / sum(Fraction(1, len(group)) for group in groups)
        step = step if f > m else -step
        square = Fraction(0)
        for group, sign in zip(groups, (1, -1), strict=True):
            for person in group:
                ideal = Fraction(person["score"]) - sign * step / len(group)
                if not Fraction(layer["lower"]) <= ideal <= Fraction(layer["upper"]):
                    return False  # not the closed form's case; none of the runs needs it
                square += (Fraction(person["served"]) - ideal) ** 2
        if square > Fraction(claim["threshold"]) ** 2 * len(members):
            return False
    return True


def _estimated(claim: Json, predicate: Json, people: Sequence[Person]) -> bool:
    """Counts and sums are those of the rows, the one-sided bounds valid, and the worst of them keeps the threshold."""
    system = predicate["system"]
    if not (system["frozen"] and system["heldOut"]):
        return False
    population = sum(other["kind"] == "population" for other in predicate["claims"])
    tail = (1 - Fraction(claim["confidence"])) / population / 2
    stated = iter(claim["witness"]["cells"])
    for groups in _cells(claim, people):
        pairs = []
        for values in groups:
            cell = next(stated)
            if (cell["n"], Fraction(cell["sum"])) != (len(values), sum(values)) or cell["oneSided"] is None:
                return False
            if len(values) < max(1, claim["minGroupSize"]):
                return False
            low, high = (Fraction(end) for end in cell["oneSided"])
            if not _valid(claim, values, low, high, tail):
                return False
            pairs.append((low, high))
        if not all(_good(claim, value) for value in _worst_ends(claim, pairs)):
            return False
    return True


def _worst_ends(claim: Json, pairs: Sequence[tuple[Fraction, Fraction]]) -> Iterable[Fraction]:
    if claim["metric"] == "equalized_residuals":
        return [max(high, -low) for low, high in pairs]
    if claim["form"] == "difference":
        return [max(a[1] - b[0], b[1] - a[0]) for a, b in combinations(pairs, 2)]
    return [min(a[0] / b[1], b[0] / a[1]) if a[1] and b[1] else Fraction(-1) for a, b in combinations(pairs, 2)]


def _valid(claim: Json, values: Sequence[Fraction], low: Fraction, high: Fraction, tail: Fraction) -> bool:
    n, total = len(values), sum(values)
    if claim["method"] == "empirical_bernstein":
        least, most = _bernstein([float(value) for value in values], claim["metric"], float(tail))
        return float(low) <= least + 1e-8 and float(high) >= most - 1e-8
    successes = int(total)
    test = tail_small if claim["method"] == "clopper_pearson" else mixture_large
    if test is tail_small:
        ends = (tail_small(n, successes, low, tail), tail_small(n, n - successes, 1 - high, tail))
    else:
        ends = (mixture_large(n, successes, low, tail), mixture_large(n, successes, high, tail))
    return (low == 0 or ends[0]) and (high == 1 or ends[1]) and low <= total / n <= high


def _bernstein(values: Sequence[float], metric: str, tail: float) -> tuple[float, float]:
    """Waudby-Smith and Ramdas (2020), theorem 2, in plain floating point."""
    residual = metric == "equalized_residuals"
    level, mean, variance, total, squares = math.log(1 / tail), 0.5, 0.25, 0.0, 0.0
    weight = weighted = loss = 0.0
    for t, value in enumerate(values, 1):
        x = (value + 1) / 2 if residual else value
        rate = min(math.sqrt(2 * level / (variance * t * math.log(1 + t))), 0.5)
        weight, weighted = weight + rate, weighted + rate * x
        loss += (x - mean) ** 2 * (-math.log(1 - rate) - rate)
        total += x
        mean = (0.5 + total) / (t + 1)
        squares += (x - mean) ** 2
        variance = (0.25 + squares) / (t + 1)
    least, most = ((weighted + sign * (level + loss)) / weight for sign in (-1, 1))
    ends = (2 * least - 1, 2 * most - 1) if residual else (least, most)
    average = sum(values) / len(values)
    return min(max(ends[0], -1.0 if residual else 0.0), average), max(min(ends[1], 1.0), average)
