"""The fairness layer's speed, as ratios measured side by side. Called by bench.py; also runs by itself."""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from certifair.layer import FairnessLayer

EPSILON = 0.05
MILLION = 1_000_000
Row = tuple[str, str, float, float | None, str]
MEMORY = """
import numpy as np, torch
from certifair.layer import FairnessLayer
draw = np.random.default_rng(7)
groups = (draw.random({n}) < 0.4).astype(np.int64)
scores = torch.from_numpy(draw.normal(0.4 + 0.2 * groups, 0.3)).requires_grad_()
layer = FairnessLayer("demographic_parity", 0.05)
layer(scores[:100_000], groups[:100_000]).sum().backward()
scores.grad = None
def status(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")  # from now on
before = status("VmRSS")
layer(scores, groups).sum().backward()
print((status("VmHWM") - before) / 1024)
"""


def timed(work: Callable[[], object], repeats: int) -> float:
    """The median wall time in milliseconds, after two runs to warm up (numba compiles at the first)."""
    work()
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def people(n: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, np.ndarray[Any, Any]]:
    """Scores of two groups that are 0.2 apart, a seventh of them outside the box."""
    draw = np.random.default_rng(7)
    groups = (draw.random(n) < 0.4).astype(np.int64)
    return torch.from_numpy(draw.normal(0.4 + 0.2 * groups, 0.3)).to(dtype), groups


def both_ways(layer: FairnessLayer, scores: torch.Tensor, *batch: Any) -> Callable[[], object]:
    """Forward and backward, as in training."""
    weights = torch.linspace(-1, 1, len(scores), dtype=scores.dtype)

    def work() -> object:
        leaf = scores.detach().requires_grad_()
        layer(leaf, *batch).backward(weights)
        return leaf.grad

    return work


def published(scores: torch.Tensor, groups: Any, metric: str, labels: Any = None) -> Callable[[], object] | None:
    """The same by fairness_training's FairModel around a network that only holds the scores; None without it."""
    if find_spec("fairness_training") is None:
        return None
    from fairness_training import FairModel

    class Held(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.held = torch.nn.Parameter(scores[:, None].clone())

        def forward(self, _: torch.Tensor) -> torch.Tensor:
            return self.held

    model = FairModel(
        1, protected_attr_idx=0, fairness_tolerance=EPSILON, fairness_metric=metric, custom_network=Held()
    )
    x = torch.from_numpy(np.asarray(groups))[:, None].to(scores.dtype)
    y = None if labels is None else torch.from_numpy(np.asarray(labels))[:, None].to(scores.dtype)
    weights = torch.linspace(-1, 1, len(scores), dtype=scores.dtype)[:, None]

    def work() -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of cvxpylayers and numpy 2
            model(x, y).backward(weights.to(torch.float64))
        return None

    return work


def against_published() -> Iterator[Row]:
    targets = {256: "≥ 100×", 10_000: "≥ 1000×"}
    for n in (32, 256, 2_000, 10_000):
        for dtype in (torch.float32, torch.float64):
            scores, groups = people(n, dtype)
            ours = timed(both_ways(FairnessLayer("demographic_parity", EPSILON), scores, groups), 201)
            other = published(scores, groups, "mean_pred")
            base = None if other is None else timed(other, 3 if n > 2_000 else 9)
            name = f"parity, n = {n}, {str(dtype).removeprefix('torch.')}"
            yield name, "fairness_training", ours, base, targets.get(n, "–")
    scores, groups = people(2_000)
    labels = np.random.default_rng(8).integers(0, 2, 2_000)
    ours = timed(both_ways(FairnessLayer("equalized_odds", EPSILON), scores, groups, labels), 101)
    other = published(scores, groups, "equalized_odds", labels)
    yield "equalized odds, n = 2000", "fairness_training", ours, None if other is None else timed(other, 5), "–"


def against_cvxpylayers() -> Iterator[Row]:
    """Problems that fairness_training cannot state, against the other solver of this package."""
    draw = np.random.default_rng(9)
    features = draw.integers(0, 2, (2_000, 3))
    scores = torch.from_numpy(draw.normal(0.3 + 0.1 * features.sum(axis=1), 0.3))
    pair = [FairnessLayer("demographic_parity", EPSILON, solver=solver, intersectional=True)
            for solver in ("exact", "cvxpylayers")]  # fmt: skip
    ours, base = (timed(both_ways(layer, scores, features), k) for layer, k in zip(pair, (101, 3), strict=True))
    yield "8 intersectional groups (28 rows), n = 2000", "cvxpylayers, compiled once", ours, base, "–"
    features = draw.integers(0, 2, (1_200, 5))
    labels = draw.beta(2, 2, 1_200)
    scores = torch.from_numpy(np.clip(labels + draw.normal(0.05, 0.2, 1_200) + 0.05 * features[:, 0], -0.2, 1.2))
    pair = [FairnessLayer("equalized_residuals", 1e-4, solver=solver) for solver in ("exact", "cvxpylayers")]
    ours, base = (timed(both_ways(layer, scores, features, labels), k) for layer, k in zip(pair, (101, 3), strict=True))
    yield "employee problem: residuals, 10 rows, n = 1200", "cvxpylayers, compiled once", ours, base, "–"


def side_by_side(first: Callable[[], object], second: Callable[[], object], repeats: int) -> tuple[float, float]:
    """The medians of two works done in turn, so that what else the machine does falls on both."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for work, found in zip((first, second), times, strict=True):
            found.append(timed(work, 1))
    return statistics.median(times[0]), statistics.median(times[1])


def against_a_pass() -> Iterator[Row]:
    """With one torch thread too, which is what the layer itself uses."""
    usual = torch.get_num_threads()
    for threads in sorted({1, usual}):
        torch.set_num_threads(threads)
        for dtype in (torch.float32, torch.float64):
            scores, groups = people(MILLION, dtype)
            other = torch.from_numpy(groups).to(dtype)
            layer = FairnessLayer("demographic_parity", EPSILON)
            ours, base = side_by_side(
                lambda a=scores, g=groups, f=layer: f(a, g), lambda a=scores, b=other: torch.dot(a.clamp(0, 1), b), 15
            )
            name = f"forward only, n = 10⁶, {str(dtype).removeprefix('torch.')}"
            yield name, f"one clamp + one dot product, {threads} thread{'s' * (threads > 1)}", ours, base, "≤ 8×"
    torch.set_num_threads(usual)


def growth() -> tuple[dict[int, tuple[float, float]], float, float]:
    """Milliseconds of forward, of forward and backward, by n; exponents of n between 10⁴ and 10⁶ (least squares)."""
    layer = FairnessLayer("demographic_parity", EPSILON)
    found = {}
    for n in (32, 100, 1_000, 10_000, 31_623, 100_000, 316_228, MILLION):
        scores, groups = people(n)
        repeats = 101 if n <= 100_000 else 15
        forward = timed(lambda s=scores, g=groups: layer(s, g), repeats)
        found[n] = (forward, timed(both_ways(layer, scores, groups), repeats))
    large = [n for n in found if n >= 10_000]
    logs = np.log(large)
    exponents = [float(np.polyfit(logs, [math.log(found[n][k]) for n in large], 1)[0]) for k in (0, 1)]
    return found, exponents[0], exponents[1]


def memory() -> float:
    """By how many MiB a process of its own grows at its peak, forward and backward on a million people. Linux only."""
    command = [sys.executable, "-c", MEMORY.format(n=MILLION)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    rows = [*against_published(), *against_cvxpylayers(), *against_a_pass()]
    table = Table(title=f"fairness layer, forward + backward; {torch.get_num_threads()} torch threads; medians")
    for title in ("work", "against", "ms", "ms", "ratio", "target"):
        table.add_column(title, justify="left" if title in ("work", "against") else "right")
    for work, against, took, base, target in rows:
        if base is None:
            table.add_row(work, against, f"{took:.3f}", "not installed", "–", target)
        else:
            ratio = took / base if target.startswith("≤") else base / took
            table.add_row(work, against, f"{took:.3f}", f"{base:.3f}", f"{ratio:.1f}×", target)
    console = Console(width=120)
    console.print(table)
    found, forward, both = growth()
    table = Table(title="growth")
    for title in ("n", "forward, ms", "forward + backward, ms"):
        table.add_column(title, justify="right")
    for n, pair in found.items():
        table.add_row(str(n), *(f"{value:.3f}" for value in pair))
    console.print(table)
    console.print(f"growth exponent from 10⁴ to 10⁶: forward {forward:.2f}, with backward {both:.2f} (target ≤ 1.1)")
    if not sys.platform.startswith("linux"):
        return
    peak = memory()
    console.print(f"peak memory at n = 10⁶: {peak:.0f} MiB, {peak * 2**20 / MILLION:.0f} bytes a person (scores: 8)")


if __name__ == "__main__":
    main()
