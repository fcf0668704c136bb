"""The policy of a run's bundle: what is trained, and what is to be claimed of what was served."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from certifair.compare.base import DataSet
from certifair.exact.decimals import format_decimal
from certifair.spec import metrics
from certifair.spec.domain import Feature
from certifair.spec.training import SERVED_WITH_LAYER

PATIENCE: Final = 5
RATE: Final = "0.003"
MOST_STEEP: Final = 1000
"""What the policy demands of the Lipschitz bound; the comparison tells the bound, whatever the verdict."""
DRAWN: Final = "{train = 0.7, test = 0.3}"
PART: Final = "certifair part"
"""A column that says train or test, where the table has none."""


def training_policy(data: DataSet, method: str, seed: int, *, without: tuple[str, ...] = ()) -> bytes:
    """For `certifair train` by one of its methods, and for the claims after it. without: columns that nobody reads."""
    split = DRAWN if data.split is None else _quoted(data.split)
    lines = [
        *_data(data, split, without),
        *_system(f"{data.name} by {method}"),
        "[model]",
        f"hidden = {list(data.hidden)}",
        f"seed = {seed}",
        "[training]",
        f"method = {_quoted(method)}",
        f"epochs = {data.epochs}",
        "batch = 256",
        f"learning_rate = {RATE}",
        f"patience = {PATIENCE}",
        *_layer(data),
        *_serve(data),
        *_ranges(data, without),
        *_gaps(data, population=method not in SERVED_WITH_LAYER),
        *_network(data, without),
    ]
    return _text(lines)


def serving_policy(
    data: DataSet, method: str, *, network: bool = False, alone: bool = False, scored: bool = False
) -> bytes:
    """For predictions that came about in any other way.

    network: there is one in the bundle; alone: and it serves people one by one. scored: there are scores without one.
    """
    lines = [
        *_data(data, _quoted(PART)),
        *_system(f"{data.name} by {method}"),
        *([] if network else ["[predictions]", 'prediction = "prediction"']),
        *(['score = "score"'] if scored else []),
        "[layer]",
        "lower = 0",
        "upper = 1",
        *_serve(data),
        *_ranges(data),
        *_gaps(data, population=alone),
        *(_network(data) if network else []),
    ]
    return _text(lines)


def _text(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def _quoted(value: object) -> str:
    """JSON's strings and lists of strings are TOML's."""
    return json.dumps(value, ensure_ascii=False)


def _data(data: DataSet, split: str, without: tuple[str, ...] = ()) -> Iterator[str]:
    yield "[data]"
    yield f"label = {_quoted(data.label)}"
    yield f"sensitive_features = {_quoted(data.groups)}"
    yield f"split = {split}"
    yield f"inputs = {_quoted([name for name in data.inputs if name not in without])}"
    yield "[data.values]"
    for name, values in data.values.items():
        yield f"{_quoted(name)} = {_quoted(values)}"


def _system(name: str) -> list[str]:
    """Declared, and true of every run: whatever was fitted was fitted to the part `train`, before the test part."""
    return ["[system]", f"name = {_quoted(name)}", "frozen = true", "held_out = true"]


def _layer(data: DataSet) -> list[str]:
    return [
        "[layer]",
        f"metric = {_quoted(data.metric)}",
        f"sensitive_features = {_quoted(data.groups)}",
        f"epsilon = {format_decimal(data.epsilon)}",
    ]


def _serve(data: DataSet) -> list[str]:
    return ["[serve]", f"batch = {data.batch}"]


def _ranges(data: DataSet, without: tuple[str, ...] = ()) -> Iterator[str]:
    yield "[domain]"
    for feature in data.domain.features:
        if feature.kind != "one_hot" and feature.name not in without:
            yield f"{_quoted(feature.name)} = {_range(feature)}"


def _range(feature: Feature) -> str:
    low, high = (format_decimal(Fraction(end)) for end in (feature.low, feature.high))
    return f"{{ kind = {_quoted(feature.kind)}, low = {low}, high = {high} }}"


def _gaps(data: DataSet, *, population: bool) -> Iterator[str]:
    """Batch, pooled, and where people are decided one by one the interval for everybody whom they stand for."""
    metric = metrics.get(data.metric)
    about = [
        f"metric = {_quoted(data.metric)}",
        f"sensitive_features = {_quoted(data.groups)}",
        f"epsilon = {format_decimal(data.epsilon)}",
    ]
    yield from _property("batch", "feasibility", *about, "min_group_size = 1")
    if metric.has_ratio and not metric.needs_label:
        yield from _property("pooled", "aggregate", 'form = "pooled"', *about)
    if metric.has_ratio and population:
        yield from _property("population", "population", *about)


def _network(data: DataSet, without: tuple[str, ...] = ()) -> Iterator[str]:
    """What is claimed of the network: whose decision flips, and how steep it is."""
    features = [item for item in data.domain.features if item.name not in without or item.name in data.groups]
    about = [f"sensitive_features = {_quoted([f.name for f in features if f.sensitive])}"]
    if relaxed := [f"{_quoted(f.name)} = {format_decimal(Fraction(f.eps))}" for f in features if f.eps]:
        about.append(f"relaxed = {{ {', '.join(relaxed)} }}")
    yield from _property("flip_rows", "individual", 'form = "rows"', "share = 1", *about)
    yield from _property("flip_domain", "individual", 'form = "domain"', "share = 1", *about)
    yield from _property("lipschitz", "stability", f"max_lipschitz = {MOST_STEEP}", 'inputs = "ranges"')


def _property(name: str, kind: str, *keys: str) -> list[str]:
    return ["[[property]]", f"id = {_quoted(name)}", f"kind = {_quoted(kind)}", *keys]
