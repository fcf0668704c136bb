"""`[compare]` of a domain's file: which groups are compared, and how networks are trained and served for it.

[compare]                        # all of it may be left out
groups = ["sex", "race"]         # columns of the rows; by default the sensitive features with 2 to 8 values
metric = "demographic_parity"    # one that needs no condition
epsilon = 0.05
split = "split"                  # the column that says train or test; by default that name if there is one, else 30%
batch = 256                      # people who are served together
hidden = [32, 16]                # of the networks that are trained,
epochs = 30                      # at most
model = "model.onnx"             # a network that is there already: it takes the place of the plainly trained one
held_out = true                  # nobody of the test part was used for it, which its owner alone can know
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import final

from certifair.spec import metrics
from certifair.spec import toml_reader as read
from certifair.spec.toml_reader import Table, nearest
from certifair.spec.training import layer_sizes


@final
@dataclass(frozen=True)
class Comparison:
    """The table's keys; None where the file says nothing and the rows decide."""

    groups: tuple[str, ...] | None
    metric: str
    epsilon: Fraction
    split: str | None
    batch: int
    hidden: tuple[int, ...]
    epochs: int
    model: str | None
    held_out: bool


def comparison(table: Table) -> Comparison:
    """Read it. Errors: PolicyError naming the key."""
    groups = table.take("groups", read.texts) if table.has("groups") else None
    found = Comparison(
        groups=groups,
        metric=table.take("metric", _metric, "demographic_parity"),
        epsilon=table.take("epsilon", read.non_negative, Fraction(1, 20)),
        split=table.take("split", read.optional_text, None),
        batch=table.take("batch", read.count, 256),
        hidden=table.take("hidden", layer_sizes, (32, 16)),
        epochs=table.take("epochs", read.positive_count, 30),
        model=table.take("model", read.optional_text, None),
        held_out=table.take("held_out", read.flag, default=False),
    )
    table.finish()
    if groups == ():
        raise table.error("groups", "names no column", "leave it out, or name one")
    if found.held_out and found.model is None:
        raise table.error("held_out", "speaks of a model, and none is named", "leave it out, or write model")
    return found


def _metric(value: object) -> str:
    name = read.text(value)
    known = [found for found in metrics.names() if not metrics.get(found).needs_condition]
    if name not in known:
        raise ValueError(f"a metric that needs no condition ({nearest(name, known)})")
    return name
