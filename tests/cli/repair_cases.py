"""A small model, its domain and its rows as files, and the verb `repair` on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from certifair.evidence.bundle import Evidence, load, read_contents
from certifair.evidence.onnx_writer import write_network
from certifair.repair.base import Repaired
from certifair.repair.zeroing import Zeroing
from certifair.spec.network import Activation, Affine, Network, Step
from tests.cli.conftest import Done, Run

DOMAIN = """
name = "small"
label = "good"
sensitive = ["sex"]
[[feature]]
name = "sex"
kind = "integer"
low = 0
high = 1
[[feature]]
name = "income"
kind = "integer"
low = 0
high = 20
[[feature]]
name = "purpose"
kind = "one_hot"
values = ["car", "home"]
"""
ROWS = "sex,income,purpose,good\n" + "".join(
    f"{i % 2},{i % 21},{['car', 'home'][i % 2]},{int(i % 21 > 9)}\n" for i in range(42)
)
ROWS_WITHOUT_SEX = [i % 21 - 3 * (i % 2) > 10 for i in range(42)]
STEEPER = [2.0, 1.0, 0.0, -3.0]


def network(end: str | None, weight: list[float] | None = None) -> Network:
    """f = income + 2·sex − 3·[home] − 10: unfair for incomes 9, 10 (car) and 12, 13 (home): 4 of 42 units."""
    weights = np.array([STEEPER if weight is None else weight])
    steps: list[Step] = [Affine(0, weights, np.zeros(1)), Affine(1, np.ones((1, 1)), np.array([-10.0]))]
    if end is not None:
        steps.append(Activation(2, end))  # type: ignore[arg-type]
    return Network(weights.shape[1], tuple(steps), len(steps))


class Small:
    """A model, a domain and rows in a folder, and the verb on them."""

    def __init__(self, folder: Path, certifair: Run, end: str | None = "sigmoid") -> None:
        self.folder, self.certifair = folder, certifair
        self.model, self.domain, self.rows = folder / "model.onnx", folder / "domain.toml", folder / "rows.csv"
        self.out, self.told, self.bundles = folder / "repaired.onnx", folder / "told.json", folder / "evidence"
        self.model.write_bytes(write_network(network(end)))
        self.domain.write_text(DOMAIN)
        self.rows.write_text(ROWS)

    def __call__(self, *more: Any) -> Done:
        options = ["--domain", self.domain, "--rows", self.rows, "--out", self.out, "--json", self.told]
        quick = [] if "--domain-time" in more else ["--domain-time", "0"]
        method = [] if "--method" in more else ["--method", "zeroing"]
        return self.certifair("repair", self.model, *options, *quick, *method, *more)

    @property
    def figures(self) -> Any:
        return json.loads(self.told.read_text())

    def evidence(self, name: str) -> Evidence:
        return load(read_contents(self.bundles / name), name)

    def files(self) -> set[str]:
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}


def proposing(monkeypatch: pytest.MonkeyPatch, found: Network | None) -> None:
    """As if `zeroing` found this."""
    answer = Repaired(found, "Infeasible, said the solver", "a solver 1.0")
    monkeypatch.setattr(Zeroing, "repair", lambda self, task: answer)
