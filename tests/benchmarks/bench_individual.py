"""Flip sets of whole data sets against one forward pass over the same points. Called by bench.py; also runs by itself.

The forward pass gets its points beforehand, in chunks of the size that suits it best, and is timed on a sample of them:
of torch and numpy in float32, on all cores, the faster counts.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from certifair.evidence.onnx_reader import read_network
from certifair.evidence.rows_file import rows_of
from certifair.evidence.witness import PAIR
from certifair.individual.engines.base import Task
from certifair.individual.engines.enumerate import enumerate_rows
from certifair.individual.engines.sweep import sweep_rows
from certifair.spec.domain import Domain
from certifair.spec.domain_file import load_domain
from certifair.spec.layers import Layers, layers_of

MODELS = Path(__file__).parents[2].parent / "shared" / "models"
POINTS = 1 << 21
"""Of a forward pass that is timed; more are counted in proportion."""
CORES = os.cpu_count() or 1
Row = tuple[str, str, str, str, str]
Result = TypeVar("Result")


def questions(domain: Domain) -> Iterator[tuple[str, Domain]]:
    """Each sensitive feature, and all together."""
    names = [feature.name for feature in domain.features if feature.sensitive]
    for chosen in [*([name] for name in names), names][: 1 if len(names) == 1 else None]:
        features = tuple(replace(feature, sensitive=feature.name in chosen) for feature in domain.features)
        yield "+".join(chosen), Domain(domain.name, features)


def networks() -> Iterator[tuple[str, Layers, Domain, np.ndarray[Any, Any]]]:
    """Every network of shared/models that has a data set."""
    for path in sorted(MODELS.glob("*/*.onnx")):
        folder = path.parent.name if path.parent.name != "prof" else path.stem.split("-")[0]
        where = MODELS / "domains" / f"{folder}.toml"
        file = load_domain(where)
        if file.rows is None or path.stem.startswith("bank-BM0"):  # its rows are not public
            continue
        layers = layers_of(read_network(path.read_bytes(), str(path)))
        yield (
            f"{path.parent.name}/{path.stem}",
            layers,
            file.domain,
            rows_of(where.parent / file.rows, file.domain).values,
        )


def points_of(domain: Domain, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """As many points of the flip sets as fit into POINTS, in float32."""
    free = [(f, columns) for f, columns in zip(domain.features, domain.columns, strict=True) if f.sensitive]
    steps = np.array([sum(values, ()) for values in itertools.product(*(list(f.points()) for f, _ in free))])
    count = max(1, min(len(rows), POINTS // len(steps)))
    points = np.repeat(rows[:count], len(steps), axis=0).astype(np.float32)
    points[:, [column for _, columns in free for column in columns]] = np.tile(steps, (count, 1))
    return points


def forward(layers: Layers, points: np.ndarray[Any, Any], total: int) -> float:
    """Milliseconds of the faster forward pass over `total` such points."""
    plain = [(x.weight.astype(np.float32), x.bias.astype(np.float32), (x.slope == 0).all()) for x in layers.layers]
    tensors = [(torch.from_numpy(w), torch.from_numpy(b), relu) for w, b, relu in plain]

    def by_numpy(chunk: int) -> None:
        for start in range(0, len(points), chunk):
            h = points[start : start + chunk]
            for weight, bias, relu in plain:
                h = h @ weight.T
                h += bias
                if relu:
                    np.maximum(h, 0, out=h)

    @torch.inference_mode()
    def by_torch(chunk: int) -> None:
        for h in torch.from_numpy(points).split(chunk):
            for weight, bias, relu in tensors:
                h = torch.nn.functional.linear(h, weight, bias)  # noqa: PLW2901
                if relu:
                    h.relu_()

    torch.set_num_threads(CORES)
    times = [
        best(lambda: work(chunk), 9 if len(points) < 1e6 else 2)[0]  # noqa: B023
        for work in (by_numpy, by_torch)
        for chunk in (1 << 12, 1 << 15)
    ]
    return min(times) * total / len(points)


def enumerated() -> Iterator[Row]:
    """Every row of a data set: all its points, with what is shared shared."""
    for name, layers, domain, rows in networks():
        for asked, question in questions(domain):
            total = len(rows) * (question.flips or 1)
            base = forward(layers, points_of(question, rows), total)
            task = Task(layers, question, processes=CORES)
            repeats = 9 if total < 1e6 else 3 if total < 1e7 else 1
            took, found = best(lambda: enumerate_rows(task, rows), repeats)  # noqa: B023
            unfair = found.about.code.count(PAIR) / len(rows)
            yield (
                f"{name} {asked}, {total:,} points, {unfair:.2%} unfair",
                "a forward pass",
                f"{took:.1f} ms",
                f"{base:.1f} ms",
                f"{took / base:.2f}× (≤ 3×)",
            )


def swept() -> Iterator[Row]:
    """Continuous age, one row at a time: the median."""
    for name, layers, domain, rows in networks():
        if not name.startswith("adult/"):
            continue
        features = tuple(
            replace(f, sensitive=f.name == "age", kind="continuous" if f.name == "age" else f.kind)
            for f in domain.features
        )
        task = Task(layers, Domain(domain.name, features))
        step = len(rows) // 200
        single = [
            best(lambda: sweep_rows(task, rows[i : i + 1]), 1)[0]  # noqa: B023
            for i in range(0, len(rows), step)
        ]
        some = rows[::10]
        whole = best(lambda: sweep_rows(task, some), 2)[0] / len(some)  # noqa: B023
        yield (
            f"{name} continuous age, a person",
            "1 ms",
            f"{whole * 1e3:.1f} µs",
            "",
            f"alone {np.median(single):.2f} ms",
        )


def best(work: Callable[[], Result], repeats: int) -> tuple[float, Result]:
    """The least wall time in milliseconds, and what came out at last."""
    least = math.inf
    for _ in range(max(repeats, 1)):
        start = time.perf_counter()
        result = work()
        least = min(least, time.perf_counter() - start)
    return least * 1e3, result


def main() -> None:
    table = Table(title=f"individual fairness of whole data sets, {CORES} cores")
    for title in ("work", "against", "ours", "theirs", "ratio"):
        table.add_column(title, justify="left" if title in ("work", "against") else "right")
    for rows in (swept(), enumerated()):
        for row in rows:
            table.add_row(*row)
            print(*row, sep=" | ", file=sys.stderr, flush=True)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
