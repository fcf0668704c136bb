"""A comparison with every kind of cell, and its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from certifair.compare.table import Cell, Figure, Property, Run, Status, Table

HOSTILE = "<script>alert('x')</script> a|b, \"ε\" $x$ *y* [z](http://example.org)\n=1+2\u202e {{ 7*7 }}"

PROPERTIES = (
    Property("accuracy", "accuracy", "higher", proven=False),
    Property("auc", "AUC", "higher", proven=False),
    Property("batch_gap", "batch gap", "lower", proven=True),
    Property("pooled_gap", "pooled gap", "lower", proven=True),
    Property("decision_gap", "gap of decisions", "lower", proven=False),
    Property("population_gap", "population gap", "", proven=True),
    Property("treatment", "treatment difference", "lower", proven=True),
    Property("flip_rows", "flip-unfair rows", "lower", proven=True),
    Property("flip_domain", "flip-unfair inputs", "lower", proven=True),
    Property("lipschitz", "Lipschitz bound", "lower", proven=True, digits=2),
    Property("train_seconds", "training", "lower", proven=False, digits=1, unit="s"),
    Property("serve_seconds", "serving", "lower", proven=False, digits=3, unit="s"),
)
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
NUMBERS = {"accuracy": 0.8, "auc": 0.85, "lipschitz": 31.5, "train_seconds": 12.0, "serve_seconds": 0.02}


def build(folder: Path, sets: Sequence[str] = ("adult", HOSTILE), seeds: int = 3) -> Table:
    """The table, with its runs' folders under `folder`."""
    runs = [_run(k, data, m, seed) for k, data in enumerate(sets) for m in range(len(METHODS)) for seed in range(seeds)]
    for run in runs:
        (folder / run.folder).mkdir(parents=True)
        (folder / run.folder / "run.json").write_text(json.dumps({"status": run.status}))
    cells = [_cell(runs, data, method, item) for data in sets for method in METHODS for item in PROPERTIES]
    about = {"command": "certifair compare --data adult.toml `x` --out <b>", "machine": "2 cores | x", "seeds": "3"}
    return Table(tuple(sets), METHODS, PROPERTIES, tuple(cells), tuple(runs), about)


def empty(methods: Sequence[str] = ("plain",), properties: Sequence[Property] = PROPERTIES[:2]) -> Table:
    """A table in which nothing was found."""
    cells = [Cell("adult", m, p.name, 0, None, None, None, None, "failed", "", ()) for m in methods for p in properties]
    return Table(("adult",), tuple(methods), tuple(properties), tuple(cells), (), {})


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
        if coupled and item.name in {"flip_rows", "flip_domain", "population_gap"}:
            yield Figure(item.name, None, verdict="UNDECIDED", reason=ONLY_PERSON, claim=f"{item.name}-1")
        elif item.name.startswith("flip"):
            low = 0.0 if METHODS[m] in {"zeroing", "finite"} else 0.0274 * (1 + m % 3) + 0.002 * seed
            high = low + (0.08 if item.name == "flip_domain" and low else 0.0)
            yield Figure(item.name, low, str(low), str(high), "FAIL" if low else "PASS", "", f"{item.name}-1")
        elif item.proven:
            value = NUMBERS.get(item.name, 0.19 / (1 + m)) + 0.001 * (m % 4) * seed
            yield Figure(item.name, value, str(value - 1e-6), str(value + 1e-6), "PASS", "", f"{item.name}-1")
        else:
            yield Figure(item.name, NUMBERS.get(item.name, 0.1) * (1 + 0.004 * (m % 7) + 0.0007 * seed * (m % 3)))


def _cell(runs: Sequence[Run], data: str, method: str, item: Property) -> Cell:
    mine = [run for run in runs if (run.data, run.method) == (data, method)]
    figures = [f for run in mine for f in run.figures if f.property == item.name]
    values = [f.value for f in figures if f.value is not None]
    reason = next((run.reason for run in mine if run.reason), "") or next((f.reason for f in figures if f.reason), "")
    folders = tuple(run.folder for run in mine)
    if not values:
        text = FAILED[method][0] if method in FAILED else "does not apply"
        return Cell(data, method, item.name, 0, None, None, None, None, text, reason, folders)
    mean = sum(values) / len(values)
    half = 2.5 * (max(values) - min(values)) if len(set(values)) > 1 else None
    lower = min((float(f.lower) for f in figures if f.lower), default=None)
    upper = max((float(f.upper) for f in figures if f.upper), default=None)
    text = f"{mean:.{item.digits}f}" + (f" ± {half:.{item.digits}f}" if half else "")
    if item.name == "population_gap":
        text = f"[{lower:.4f}, {upper:.4f}]"
    if len(values) < len(mine):
        text += f" ({len(values)} of {len(mine)})"
    return Cell(data, method, item.name, len(values), mean, half, lower, upper, text, reason, folders)
