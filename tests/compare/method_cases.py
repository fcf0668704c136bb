"""A small set of people, drawn with a seed, and a network to start from: for the tests of methods."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from certifair.compare.base import Case, DataSet
from certifair.compare.sets import load_set
from certifair.evidence.onnx_writer import write_network
from certifair.spec.network import Activation, Affine, Network

DOMAIN = """
name = "people"
rows = "people.csv"
label = "good"
sensitive = ["sex"]

[compare]
groups = {groups}
metric = "{metric}"
epsilon = 0.1
batch = 50
hidden = [6]
epochs = {epochs}

[[feature]]
name = "a"
kind = "integer"
low = -4
high = 4

[[feature]]
name = "b"
kind = "continuous"
low = 0
high = 10

[[feature]]
name = "sex"
kind = "integer"
low = 0
high = 1
"""


def people_set(
    folder: Path,
    *,
    groups: tuple[str, ...] = ("sex",),
    metric: str = "demographic_parity",
    epochs: int = 3,
    change: Any = None,
) -> DataSet:
    """600 people, 400 of them to train on; sex 1 is good far more often. change: of a row (a dict), or None."""
    random = np.random.default_rng(5)
    rows = []
    for k in range(600):
        sex, region = int(random.random() < 0.6), "nsw"[int(random.integers(3))]
        a, b = int(random.integers(-4, 5)), round(float(random.uniform(0, 10)), 2)
        side = "lr"[int(a + 2 * random.normal() > 0)]
        good = int(a + 0.3 * b + 4 * sex - 4 + 1.5 * random.normal() > 0)
        row = {"a": a, "b": b, "sex": sex, "region": region, "side": side, "hand": "xy"[k % 2], "good": good}
        row["split"] = "train" if k < 400 else "test"
        if change is not None:
            change(row)
        rows.append(row)
    with (folder / "people.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    named = str(list(groups)).replace("'", '"')
    path = folder / "people.toml"
    path.write_text(DOMAIN.format(groups=named, metric=metric, epochs=epochs), encoding="utf-8")
    return load_set(path)


def base_network() -> Network:
    """It knows what makes people good, sex included. All its numbers are float32 numbers."""
    first = np.array([[0.5, 0.125, 2.0], [-0.5, -0.125, -2.0]])
    steps = (
        Affine(0, first, np.array([-2.0, 2.0])),
        Activation(1, "relu"),
        Affine(2, np.array([[1.0, -1.0]]), np.array([0.0])),
        Activation(3, "sigmoid"),
    )
    return Network(3, steps, 4)


def case_of(data: DataSet, method: str, *, seed: int = 0, seconds: float = 60.0, base: bool = True) -> Case:
    content = write_network(base_network()) if base else None
    return Case(data, method, seed, time.monotonic() + seconds, content)


def served(out: Path) -> tuple[Any, Any]:
    """Predictions and scores of a bundle, in its order: the table's."""
    table = pq.read_table(out / "predictions.parquet")
    return tuple(np.asarray(table[name].to_pylist(), dtype=np.float64) for name in ("prediction", "score"))  # type: ignore[return-value]
