"""`[model]` and `[training]` of a policy: what `certifair train` builds and how it trains it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import final

from certifair.spec import toml_reader as read
from certifair.spec.toml_reader import Table

METHODS = ("flayer", "projection", "penalty", "strict_penalty", "plain")
SERVED_WITH_LAYER = ("flayer", "projection")
"""Methods whose layer is part of what is served; the others only train with fairness in mind, or not at all."""
TRAINED_THROUGH = ("flayer",)
"""Methods whose gradients go through the layer."""


@final
@dataclass(frozen=True)
class ModelSpec:
    """`[model]`: `factory` is "mlp", or "module:function" that makes a torch module from the number of inputs."""

    factory: str
    hidden: tuple[int, ...]
    activation: str
    final: str
    layer_norm: bool
    seed: int


@final
@dataclass(frozen=True)
class TrainingSpec:
    """`[training]`. `batch` = 0 is everybody at once; `penalty` None is the method's own weight.

    `audit`: how many batches the layer's derivative is audited on, where the method trains through the layer.
    """

    method: str
    epochs: int
    batch: int
    learning_rate: Fraction
    weight_decay: Fraction
    patience: int
    validation: Fraction
    loss: str
    penalty: Fraction | None
    hide_sensitive: bool
    audit: int


def model_spec(table: Table) -> ModelSpec:
    """Read `[model]`."""
    spec = ModelSpec(
        factory=table.take("factory", _factory, "mlp"),
        hidden=table.take("hidden", layer_sizes, (32, 16)),
        activation=table.take("activation", read.one_of("relu", "leaky_relu", "tanh", "sigmoid"), "relu"),
        final=table.take("final", read.one_of("sigmoid", "none"), "sigmoid"),
        layer_norm=table.take("layer_norm", read.flag, default=False),
        seed=table.take("seed", read.count, 0),
    )
    table.finish()
    return spec


def training_spec(table: Table) -> TrainingSpec:
    """Read `[training]`."""
    spec = TrainingSpec(
        method=table.take("method", read.one_of(*METHODS), "flayer"),
        epochs=table.take("epochs", read.positive_count, 50),
        batch=table.take("batch", read.count, 512),
        learning_rate=table.take("learning_rate", read.positive, Fraction(1, 1000)),
        weight_decay=table.take("weight_decay", read.non_negative, Fraction(0)),
        patience=table.take("patience", read.count, 10),
        validation=table.take("validation", _part, Fraction(1, 10)),
        loss=table.take("loss", read.one_of("bce", "mse"), "bce"),
        penalty=table.take("penalty", _weight, None),
        hide_sensitive=table.take("hide_sensitive", read.flag, default=False),
        audit=table.take("audit", read.count, 3),
    )
    table.finish()
    return spec


def fractions(value: object) -> tuple[tuple[str, Fraction], ...]:
    """`{train = 0.7, test = 0.3}`: parts of the rows by name, which add up to 1."""
    if not isinstance(value, dict):
        raise ValueError("a column's name, or parts such as {train = 0.7, test = 0.3}")
    found = tuple((read.text(name), read.non_negative(part)) for name, part in value.items())
    if sum(part for _, part in found) != 1:
        raise ValueError("parts that add up to 1")
    return found


def _factory(value: object) -> str:
    name = read.text(value)
    module, colon, function = name.partition(":")
    if name != "mlp" and not (colon and all(p.isidentifier() for p in module.split(".")) and function.isidentifier()):
        raise ValueError('"mlp" or "module:function"')
    return name


def layer_sizes(value: object) -> tuple[int, ...]:
    """Widths of hidden layers. Errors: ValueError."""
    if not isinstance(value, list) or any(read.count(item) == 0 for item in value):
        raise ValueError("a list of whole numbers above 0")
    return tuple(value)


def _part(value: object) -> Fraction:
    part = read.non_negative(value)
    if part >= 1:
        raise ValueError("a decimal number from 0 to below 1")
    return part


def _weight(value: object) -> Fraction | None:
    return read.non_negative(value)
