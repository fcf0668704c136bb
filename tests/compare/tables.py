"""A comparison with every kind of cell, and its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from certifair.compare.cells import table_of
from certifair.compare.properties import PROPERTIES
from certifair.compare.table import Figure, Property, Run, Status, Table

HOSTILE = "<script>alert('x')</script> a|b, \"ε\" $x$ *y* [z](http://example.org)\n=1+2\u202e {{ 7*7 }}"

METHODS = (
    *("plain", "zeroing", "finite", "prof", "flayer", "projection", "penalty", "strict_penalty"),
    *("threshold_optimizer", "exponentiated_gradient", "pooled_layer", "fairness_training", HOSTILE),
)
FAILED: dict[str, tuple[Status, str]] = {
    "prof": ("time limit", "HiGHS stopped after 60 s with a gap of 12%"),
    "strict_penalty": ("infeasible", "no grid point within ε = 0.01 for <b>women</b> | men"),
    "fairness_training": ("crashed", "Traceback: MemoryError\nin line 3, 'x'"),
}
ONLY_PERSON = "what is served depends on the batch: no claim about one person's flips"
SHOWN_LEAST = "at least this, between two people of the evidence"
NUMBERS = {"accuracy": 0.8, "auc": 0.85, "lipschitz": 31.5, "train_seconds": 12.0, "serve_seconds": 0.02}


def build(folder: Path, sets: Sequence[str] = ("adult", HOSTILE), seeds: int = 3) -> Table:
    """The table, with its runs' folders under `folder`."""
    runs = [_run(k, data, m, seed) for k, data in enumerate(sets) for m in range(len(METHODS)) for seed in range(seeds)]
    for run in runs:
        (folder / run.folder).mkdir(parents=True)
        (folder / run.folder / "run.json").write_text(json.dumps({"status": run.status}))
        if run.status == "done":
            (folder / run.folder / "claims.json").write_text("[]")
            (folder / run.folder / "bundle").mkdir()
    about = {"command": "certifair compare --data adult.toml `x` --out <b>", "machine": "2 cores | x", "seeds": "3"}
    return table_of(runs, tuple(sets), METHODS, PROPERTIES, about)


def empty(methods: Sequence[str] = ("plain",), properties: Sequence[Property] = PROPERTIES[:2]) -> Table:
    """A table in which nothing was found."""
    runs = [Run("adult", name, 0, "failed", "", (), "", "", {}, 0.0, f"runs/{name}-0") for name in methods]
    return table_of(runs, ("adult",), tuple(methods), tuple(properties), {})


def _run(k: int, data: str, m: int, seed: int) -> Run:
    method = METHODS[m]
    status, reason = FAILED.get(method, ("done", ""))
    if method == "prof" and seed == 0:
        status, reason = "done", ""
    figures = () if status != "done" else tuple(_figures(m, seed))
    solver = "PuLP, HiGHS 1.8" if method in {"prof", "finite"} else "torch" if m else ""
    versions = {"torch": "2.13.0", "highspy": "1.8.1"} if m else {"torch": "2.13.0"}
    folder = f"runs/set{k} ε/m#{m}-{seed}"
    return Run(data, method, seed, status, reason, figures, solver, "a note" * (m == 1), versions, 1.5 + m, folder)


def _figures(m: int, seed: int) -> Iterator[Figure]:
    for item in PROPERTIES:
        coupled = METHODS[m] in {"flayer", "projection", "pooled_layer"}
        claim, value = f"{item.name}-1", NUMBERS.get(item.name, 0.19 / (1 + m)) + 0.001 * (m % 4) * seed
        if coupled and item.name in {"flip_rows", "flip_domain", "population_gap"}:
            yield Figure(item.name, None, verdict="UNDECIDED", reason=ONLY_PERSON, claim=claim)
        elif item.name.startswith("flip"):
            low = 0.0 if METHODS[m] in {"zeroing", "finite"} else 0.0274 * (1 + m % 3) + 0.002 * seed
            high = low + (0.08 if item.name == "flip_domain" and low else 0.0)
            yield Figure(item.name, low, str(low), str(high), "FAIL" if low else "PASS", "", claim)
        elif item.name == "treatment" and METHODS[m] == "threshold_optimizer":
            yield Figure(item.name, value, str(value), None, reason=SHOWN_LEAST)
        elif item.name == "population_gap":
            yield Figure(item.name, value, str(max(0.0, value - 0.02)), str(value + 0.03), "UNDECIDED", "", claim)
        elif item.basis == "proven":
            yield Figure(item.name, value, str(value - 1e-6), str(value + 1e-6), "PASS", "", claim)
        else:
            yield Figure(item.name, NUMBERS.get(item.name, 0.1) * (1 + 0.004 * (m % 7) + 0.0007 * seed * (m % 3)))
