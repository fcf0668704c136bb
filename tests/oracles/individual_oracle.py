"""Individual claims against their evidence, by trying every point (test oracle).

Written from certificates/README.md 9.11 and 11 alone, with exact rationals; nothing of certifair is used. What has
more than one continuous column, or too many points, or a network of other operators is not recomputed.
"""

from __future__ import annotations

import itertools
import json
import math
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, final

from tests.oracles.individual_network import Decision, NotRecomputed, read_network, turns
from tests.oracles.second_verifier import decimal, meant_eps, number_range, rational

Json = dict[str, Any]
MOST_PRODUCTS = 3_000_000


@final
@dataclass(frozen=True)
class Segment:
    """All numbers between two, of a continuous column."""

    low: Fraction
    high: Fraction


Value = Fraction | str | Segment


# Units, their flip sets, and what is counted of them.
def in_range(item: Json, value: Value) -> bool:
    if item["kind"] == "category":
        return value in item["values"]
    assert isinstance(value, Fraction)
    if item["kind"] == "number":
        return True
    low, high = number_range(item)
    return low <= value <= high and (item["kind"] != "integer" or value.denominator == 1)


def options(item: Json, value: Value | None, sensitive: bool) -> list[Value]:
    """What a column may become; `value` None: any of its values."""
    eps = decimal(item["eps"]) and meant_eps(item)
    if value is not None and not sensitive and not eps:
        return [value]
    if item["kind"] == "category":
        return list(item["values"])
    low, high = number_range(item)
    if not sensitive and value is not None:
        if not isinstance(value, Fraction):
            raise NotRecomputed(f"{item['column']} is continuous and moves")
        low, high = max(low, value - eps), min(high, value + eps)
    if item["kind"] != "integer":
        return [Segment(low, high) if low < high else low]
    return [Fraction(k) for k in range(math.ceil(low), math.floor(high) + 1)]


def encode(domain: Sequence[Json], values: Sequence[Value]) -> tuple[Fraction, ...]:
    """Section 11: the network's inputs."""
    found: list[Fraction] = []
    for item, value in zip(domain, values, strict=True):
        if item["kind"] == "category":
            found += [Fraction(int(value == one)) for one in item["values"]]
        else:
            assert isinstance(value, Fraction)
            found.append(value)
    return tuple(found)


@final
@dataclass(frozen=True)
class Claimed:
    """A claim, its network's decision, and the people it speaks of: their values, by row id."""

    claim: Json
    decide: Decision
    people: dict[str, list[Value]]

    def flip_set(self, unit: Sequence[Value | None]) -> list[list[Value]]:
        sensitive = self.claim["sensitiveFeatures"]
        items = zip(self.claim["domain"], unit, strict=True)
        return [options(item, value, item["column"] in sensitive) for item, value in items]

    def units(self) -> Iterator[list[Value]]:
        """Form rows: everybody who is not outside; domain: every value of the columns that are not sensitive."""
        domain, sensitive = self.claim["domain"], self.claim["sensitiveFeatures"]
        if self.claim["form"] == "rows":
            for values in self.people.values():
                if all(itertools.starmap(in_range, zip(domain, values, strict=True))):
                    yield values
            return
        free = [options(item, None, True)[: 1 if item["column"] in sensitive else None] for item in domain]
        yield from (list(values) for values in itertools.product(*free))

    def judge(self, unit: Sequence[Value]) -> tuple[Fraction, Fraction]:
        """How much of a unit may be fair, and may be surely unfair: 0 or 1, or parts of its continuous column."""
        combinations = list(itertools.product(*self.flip_set(unit)))
        if any(sum(isinstance(value, Segment) for value in values) > 1 for values in combinations):
            raise NotRecomputed("more than one continuous column")
        along = [value for value in unit if isinstance(value, Segment)]
        if along:
            return self._parts([self._line(values) for values in combinations], along[0].high - along[0].low)
        if not any(isinstance(value, Segment) for values in combinations for value in values):
            points = [encode(self.claim["domain"], values) for values in combinations]
            found = [self.decide.outcomes(point) for point in points]
            same, differ = len(frozenset().union(*found)) == 1, {frozenset([True]), frozenset([False])} <= set(found)
            return Fraction(same), Fraction(differ)
        signs = {value > self.decide.threshold for values in combinations for _, value in self._line(values)}
        return Fraction(len(signs) == 1), Fraction(len(signs) == 2)

    def _line(self, values: Sequence[Value]) -> list[tuple[Fraction, Fraction]]:
        """The network's turns while the continuous column goes through its range."""
        if not self.decide.real:
            raise NotRecomputed("a continuous column in float32")
        low, high = (
            encode(
                self.claim["domain"], [getattr(value, end) if isinstance(value, Segment) else value for value in values]
            )
            for end in ("low", "high")
        )
        return turns(self.decide.network, low, high)

    def _parts(self, lines: Sequence[list[tuple[Fraction, Fraction]]], length: Fraction) -> tuple[Fraction, Fraction]:
        """The lengths where all lines are on one side of the threshold, and where they are not."""
        cuts = {t for line in lines for t, _ in line}
        for line in lines:
            for (t, f), (u, g) in itertools.pairwise((t, value - self.decide.threshold) for t, value in line):
                cuts |= {t - f * (u - t) / (g - f)} if f * g < 0 else set()
        fair = Fraction(0)
        for t, u in itertools.pairwise(sorted(cuts)):
            fair += (u - t) * (len({_at(line, (t + u) / 2) > self.decide.threshold for line in lines}) == 1)
        return fair * length, (1 - fair) * length

    def shares(self) -> tuple[Fraction, Fraction]:
        """The most units that are fair, and that are surely unfair. NotRecomputed."""
        if self.cost() * self.decide.network.products > MOST_PRODUCTS:
            raise NotRecomputed("too many points")
        judged = [self.judge(unit) for unit in self.units()]
        fair, unfair = (sum((pair[k] for pair in judged), Fraction(0)) for k in (0, 1))
        return fair, unfair

    def cost(self) -> int:
        units = len(self.people) if self.claim["form"] == "rows" else math.prod(
            len(options(item, None, True)) for item in self.claim["domain"]
            if item["column"] not in self.claim["sensitiveFeatures"]
        )  # fmt: skip
        return units * math.prod(map(len, self.flip_set(next(self.units(), [None] * len(self.claim["domain"])))))


def _at(line: Sequence[tuple[Fraction, Fraction]], t: Fraction) -> Fraction:
    (a, f), (b, g) = next(pair for pair in itertools.pairwise(line) if pair[0][0] <= t <= pair[1][0])
    return f + (g - f) * (t - a) / (b - a)


def read_people(folder: Path, domain: Sequence[Json]) -> dict[str, list[Value]]:
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "data.parquet").to_pydict()
    columns = [table[f"input.{item['column']}"] for item in domain]
    rows = zip(*columns, strict=True) if columns else ([] for _ in table["row_id"])
    found: list[list[Value]] = [[one if isinstance(one, str) else Fraction(one) for one in row] for row in rows]
    return {str(name): values for name, values in zip(table["row_id"], found, strict=True)}


def declared(folder: Path) -> list[tuple[str, str, Any, Any, list[str]]]:
    """Section 11: column, kind, ends and values of each range, from the preprocessing and the policy."""
    policy = tomllib.loads((folder / "policy.toml").read_text("utf-8"), parse_float=Fraction).get("domain", {})
    path = folder / "preprocessing.json"
    if not path.exists():
        return [(name, one["kind"], Fraction(one["low"]), Fraction(one["high"]), []) for name, one in policy.items()]
    found: list[tuple[str, str, Any, Any, list[str]]] = []
    for item in json.loads(path.read_bytes())["inputs"]:
        name = item["column"]
        if item["kind"] == "category":
            found.append((name, "category", None, None, item["values"]))
        elif name in policy:
            one = policy[name]
            found.append((name, one["kind"], Fraction(one["low"]), Fraction(one["high"]), []))
        else:
            found.append((name, "number", None, None, []))
    return found


def ranges(domain: Sequence[Json]) -> list[tuple[str, str, Any, Any, list[str]]]:
    def number(text: str | None) -> Fraction | None:
        return None if text is None else decimal(text)

    return [(one["column"], one["kind"], number(one["low"]), number(one["high"]), one["values"]) for one in domain]


def example_is_true(claimed: Claimed, example: Json) -> bool:
    """Both points lie in one flip set, the first is decided positively, the second is not."""
    claim, given = claimed.claim, {entry["column"]: entry for entry in example["inputs"]}
    person = claimed.people.get(example["row"]) if claim["form"] == "rows" else None
    if claim["form"] == "rows":
        inside = person is not None and all(map(in_range, claim["domain"], person))
        if person is None or not inside:
            return False
    points: dict[str, list[Value]] = {"positive": [], "negative": []}
    for k, item in enumerate(claim["domain"]):
        for side, values in points.items():
            if item["column"] not in given:
                assert person is not None
                values.append(person[k])
                continue
            text = given[item["column"]][side]
            value: Value = text if item["kind"] == "category" else decimal(text)
            if person is not None and item["column"] not in claim["sensitiveFeatures"]:
                own = person[k]
                assert isinstance(own, Fraction)
                assert isinstance(value, Fraction)
                if abs(own - value) > meant_eps(item):
                    return False
            values.append(value)
    found = [claimed.decide.outcomes(encode(claim["domain"], values)) for values in points.values()]
    return found == [frozenset([True]), frozenset([False])]


def faults(claim: Json, folder: Path) -> list[str]:
    """What the evidence says against an individual claim. NotRecomputed where not every point can be tried."""
    witness, domain = claim["witness"], claim["domain"]
    if ranges(domain) != declared(folder):
        return ["domain"]
    moves = any(item["column"] in claim["sensitiveFeatures"] or item["eps"] != "0" for item in domain)
    if claim["map"] == "served" or witness["model"] is None or not moves:
        return []
    network = read_network((folder / "model.onnx").read_bytes())
    decide = Decision(network, claim["method"], decimal(claim["decisionThreshold"]))
    people = read_people(folder, domain)
    claimed = Claimed(claim, decide, people)
    certified, falsified = (rational(witness[name]) for name in ("certified", "falsified"))
    if claim["method"] == "float32" and not network.single:
        return ["figures of no float32 network"] * bool(certified or falsified)
    said = [f"example {k}" for k, one in enumerate(witness["examples"]) if not example_is_true(claimed, one)]
    if claim["form"] == "rows":
        outside = sum(not all(map(in_range, domain, values)) for values in people.values())
        said += ["outside"] * (outside != witness["outside"])
    fair, unfair = claimed.shares()
    return said + ["certified"] * (certified > fair) + ["falsified"] * (falsified > unfair)
