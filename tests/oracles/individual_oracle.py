"""Individual claims against their evidence, by trying every point (test oracle).

Written from certificates/README.md 9.11 and 11 alone, with exact rationals; nothing of certifair is used. What has
infinitely many points, or too many, or a network of other operators is not recomputed.
"""

from __future__ import annotations

import itertools
import json
import math
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, final

import numpy as np

from tests.oracles.second_verifier import decimal, meant_eps, number_range, rational

Json = dict[str, Any]
Value = Fraction | str
MOST_PRODUCTS = 3_000_000
Layer = tuple[tuple[tuple[Fraction, ...], ...], tuple[Fraction, ...]]  # weight, bias


class NotRecomputed(Exception):  # noqa: N818 (no error)
    """This oracle cannot try every point."""


@final
@dataclass(frozen=True)
class Network:
    """Layers of weights with an activation after each: ("relu",), ("leaky", slope) or ("linear",); `end` is the name
    of a last Sigmoid or Tanh, or empty. `single`: every number is one of float32.
    """

    layers: tuple[Layer, ...]
    slopes: tuple[Fraction, ...]
    end: str

    @property
    def single(self) -> bool:
        numbers = [value for weight, bias in self.layers for row in (*weight, bias) for value in row]
        return all(is_single(value) for value in (*numbers, *self.slopes))

    @property
    def products(self) -> int:
        return sum(len(weight) * len(weight[0]) for weight, _ in self.layers)


def is_single(value: Fraction) -> bool:
    with np.errstate(over="ignore"):
        return abs(value) < 2**128 and Fraction(float(np.float32(float(value)))) == value


def read_network(path: Path) -> Network:
    """A chain of Gemm (or MatMul and Add), Relu, LeakyRelu, and a last Sigmoid or Tanh; else NotRecomputed."""
    import onnx
    from onnx import helper, numpy_helper

    graph = onnx.load(str(path)).graph
    known = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    at = next(item.name for item in graph.input if item.name not in known)
    layers: list[Layer] = []
    slopes: list[Fraction] = []
    end = ""
    for node in graph.node:
        given = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        if node.input[0] != at or end or len(node.output) != 1:
            raise NotRecomputed(f"{node.op_type} off the chain")
        at, others = node.output[0], [known.get(name) for name in node.input[1:]]
        if node.op_type in ("Gemm", "MatMul") and others[0] is not None:
            if given.get("transA", 0) or (given.get("alpha", 1.0), given.get("beta", 1.0)) != (1.0, 1.0):
                raise NotRecomputed("a Gemm with factors")
            weight = others[0] if given.get("transB", 0) else others[0].T
            bias = others[1] if len(others) > 1 and others[1] is not None else np.zeros(len(weight))
            layers.append((_rationals(weight), _rationals(bias.reshape(1, -1))[0]))
            slopes.append(Fraction(1))
        elif node.op_type == "Add" and others[0] is not None and layers and slopes[-1] == 1:
            weight_, _ = layers[-1]
            layers[-1] = (weight_, _rationals(np.broadcast_to(others[0].reshape(1, -1), (1, len(weight_))))[0])
        elif node.op_type in ("Relu", "LeakyRelu") and layers and slopes[-1] == 1:
            leak = given.get("alpha", float(np.float32(0.01)))
            slopes[-1] = Fraction(float(leak)) if node.op_type == "LeakyRelu" else Fraction(0)
        elif node.op_type in ("Sigmoid", "Tanh"):
            end = node.op_type
        elif node.op_type not in ("Identity", "Dropout", "Flatten"):
            raise NotRecomputed(node.op_type)
    if at != graph.output[0].name or not layers or len(layers[-1][0]) != 1:
        raise NotRecomputed("more than one output")
    return Network(tuple(layers), tuple(slopes), end)


def _rationals(array: Any) -> tuple[tuple[Fraction, ...], ...]:
    return tuple(tuple(Fraction(float(value)) for value in row) for row in np.asarray(array))


# The decision of a point, as each way of computing it comes out.
Outcomes = frozenset[bool]


@final
class Decision:
    """`outcomes(point)`: the decisions f > 0 at a point: the exact one (`real`), or those of several float32 orders."""

    def __init__(self, network: Network, method: str, threshold: Fraction) -> None:
        if network.end:
            assert threshold == (Fraction(1, 2) if network.end == "Sigmoid" else 0)
            threshold = Fraction(0)
        self._network, self._real, self._threshold = network, method == "real", threshold
        self.outcomes = lru_cache(maxsize=100_000)(self._outcomes)

    def _outcomes(self, point: tuple[Fraction, ...]) -> Outcomes:
        if self._real:
            return frozenset([self._exact(point) > self._threshold])
        orders: tuple[Callable[[list[Any], Any], Any], ...] = (_forward, _backward, _bias_last, _by_size)
        return frozenset(Fraction(float(self._single(point, order))) > self._threshold for order in orders)

    def _exact(self, point: Sequence[Fraction]) -> Fraction:
        values = list(point)
        for (weight, bias), slope in zip(self._network.layers, self._network.slopes, strict=True):
            sums = [
                sum((w * x for w, x in zip(row, values, strict=True)), b) for row, b in zip(weight, bias, strict=True)
            ]
            values = [z if z >= 0 else slope * z for z in sums]
        return values[0]

    def _single(self, point: Sequence[Fraction], order: Callable[[list[Any], Any], Any]) -> Any:
        values = [np.float32(float(x)) for x in point]
        for (weight, bias), slope in zip(self._network.layers, self._network.slopes, strict=True):
            sums = [
                order([np.float32(float(w)) * x for w, x in zip(row, values, strict=True)], np.float32(float(b)))
                for row, b in zip(weight, bias, strict=True)
            ]
            values = [z if z >= 0 else np.float32(float(slope)) * z for z in sums]
        return values[0]


def _forward(products: list[Any], bias: Any) -> Any:
    for product in products:
        bias = bias + product
    return bias


def _backward(products: list[Any], bias: Any) -> Any:
    return _forward(products[::-1], bias)


def _bias_last(products: list[Any], bias: Any) -> Any:
    return _forward(products[1:], products[0]) + bias


def _by_size(products: list[Any], bias: Any) -> Any:
    first, *others = sorted([*products, bias], key=abs)
    return _forward(others, first)


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
    """What a column may become; `value` None: any of its values. NotRecomputed where these are infinitely many."""
    eps = decimal(item["eps"])
    if value is not None and not sensitive and not eps:
        return [value]
    if item["kind"] == "category":
        return list(item["values"])
    low, high = number_range(item)
    if not sensitive and value is not None:
        assert isinstance(value, Fraction)
        low, high = max(low, value - eps), min(high, value + eps)
    if item["kind"] != "integer" and low != high:
        raise NotRecomputed(f"{item['column']} is continuous")
    return [Fraction(k) for k in range(math.ceil(low), math.floor(high) + 1)] if item["kind"] == "integer" else [low]


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
    products: int

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

    def judge(self, unit: Sequence[Value]) -> tuple[bool, bool]:
        """Whether a unit may be fair, and whether it may be surely unfair."""
        points = [encode(self.claim["domain"], values) for values in itertools.product(*self.flip_set(unit))]
        found = [self.decide.outcomes(point) for point in points]
        return len(frozenset().union(*found)) == 1, {frozenset([True]), frozenset([False])} <= set(found)

    def cost(self) -> int:
        units = len(self.people) if self.claim["form"] == "rows" else math.prod(
            len(options(item, None, True)) for item in self.claim["domain"]
            if item["column"] not in self.claim["sensitiveFeatures"]
        )  # fmt: skip
        return units * math.prod(map(len, self.flip_set(next(self.units(), [None] * len(self.claim["domain"])))))


def read_people(folder: Path, domain: Sequence[Json]) -> dict[str, list[Value]]:
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "data.parquet").to_pydict()
    columns = [table[f"input.{item['column']}"] for item in domain]
    rows = zip(*columns, strict=True) if columns else ([] for _ in table["row_id"])
    found = [[value if isinstance(value, str) else Fraction(value) for value in row] for row in rows]
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
    network = read_network(folder / "model.onnx")
    decide = Decision(network, claim["method"], decimal(claim["decisionThreshold"]))
    people = read_people(folder, domain)
    claimed = Claimed(claim, decide, people, network.products)
    certified, falsified = (rational(witness[name]) for name in ("certified", "falsified"))
    if claim["method"] == "float32" and not network.single:
        return ["figures of no float32 network"] * bool(certified or falsified)
    said = [f"example {k}" for k, one in enumerate(witness["examples"]) if not example_is_true(claimed, one)]
    if claim["form"] == "rows":
        outside = sum(not all(map(in_range, domain, values)) for values in people.values())
        said += ["outside"] * (outside != witness["outside"])
    if claimed.cost() * network.products > MOST_PRODUCTS:
        raise NotRecomputed("too many points")
    judged = [claimed.judge(unit) for unit in claimed.units()]
    said += ["certified"] * (certified > sum(fair for fair, _ in judged))
    return said + ["falsified"] * (falsified > sum(unfair for _, unfair in judged))
