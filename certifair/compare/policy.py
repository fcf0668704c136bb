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
PREDICTION: Final = "prediction"
SCORE: Final = "score"
"""Columns of what was served, where no network says it."""


def training_policy(data: DataSet, method: str, seed: int, *, inputs: tuple[str, ...] | None = None) -> bytes:
    """For `certifair train` by one of its methods, and for the claims after it. inputs: columns; None: the set's."""
    split = DRAWN if data.split is None else _quoted(data.split)
    lines = [
        *_data(data, split, data.inputs if inputs is None else inputs),
        *_system(f"{data.name} by {method}", held_out=True),
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
        *_ranges(data),
        *_gaps(data, population=not served_with_layer(data, method)),
        *_network(data),
    ]
    return _text(lines)


def served_with_layer(data: DataSet, method: str) -> bool:
    """Whether a method of `certifair train` serves through its layer: as Policy.served_metric, labels being unknown."""
    return method in SERVED_WITH_LAYER and not metrics.get(data.metric).needs_label


def serving_policy(
    data: DataSet,
    method: str,
    *,
    network: bool = False,
    alone: bool = False,
    scored: bool = False,
    held_out: bool = True,
) -> bytes:
    """For predictions that came about in any other way.

    network: there is one in the bundle; alone: and it serves people one by one. scored: there are scores without one.
    held_out: nobody who is served was fitted to.
    """
    lines = [
        *_data(data, _quoted(PART), data.inputs),
        *_system(f"{data.name} by {method}", held_out=held_out),
        *([] if network else ["[predictions]", f"prediction = {_quoted(PREDICTION)}"]),
        *([f"score = {_quoted(SCORE)}"] if scored else []),
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


def _data(data: DataSet, split: str, inputs: tuple[str, ...]) -> Iterator[str]:
    yield "[data]"
    yield f"label = {_quoted(data.label)}"
    yield f"sensitive_features = {_quoted(data.groups)}"
    yield f"split = {split}"
    yield f"inputs = {_quoted(inputs)}"
    yield "[data.values]"
    for name, values in data.values.items():
        yield f"{_quoted(name)} = {_quoted(values)}"


def _system(name: str, *, held_out: bool) -> list[str]:
    """Declared. What is fitted here is fitted to the part `train`, before the test part is served."""
    return ["[system]", f"name = {_quoted(name)}", "frozen = true", f"held_out = {_quoted(held_out)}"]


def _layer(data: DataSet) -> list[str]:
    return [
        "[layer]",
        f"metric = {_quoted(data.metric)}",
        f"sensitive_features = {_quoted(data.groups)}",
        f"epsilon = {format_decimal(data.epsilon)}",
    ]


def _serve(data: DataSet) -> list[str]:
    return ["[serve]", f"batch = {data.batch}"]


def _ranges(data: DataSet) -> Iterator[str]:
    yield "[domain]"
    for feature in data.domain.features:
        if feature.kind != "one_hot":
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


def _network(data: DataSet) -> Iterator[str]:
    """What is claimed of the network: whose decision flips, and how steep it is."""
    features = data.domain.features
    about = [f"sensitive_features = {_quoted([f.name for f in features if f.sensitive])}"]
    if relaxed := [f"{_quoted(f.name)} = {format_decimal(Fraction(f.eps))}" for f in features if f.eps]:
        about.append(f"relaxed = {{ {', '.join(relaxed)} }}")
    yield from _property("flip_rows", "individual", 'form = "rows"', "share = 1", *about)
    yield from _property("flip_domain", "individual", 'form = "domain"', "share = 1", *about)
    yield from _property("lipschitz", "stability", f"max_lipschitz = {MOST_STEEP}", 'inputs = "ranges"')


def _property(name: str, kind: str, *keys: str) -> list[str]:
    return ["[[property]]", f"id = {_quoted(name)}", f"kind = {_quoted(kind)}", *keys]
