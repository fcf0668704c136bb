"""Serving and logging a stream: ratios measured side by side. Called by bench.py; also runs by itself."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_layer import timed
from rich.console import Console
from rich.table import Table

from certifair.evidence.log.batches import Batch
from certifair.evidence.log.header import Header, columns_of
from certifair.evidence.log.reader import read_log
from certifair.evidence.log.records import record_bytes, segment_root
from certifair.evidence.log.writer import LogWriter
from certifair.online import Online, PooledPrimalDual, PrimalDual

EPSILON = "0.02"
BATCH = 16
RECORDS = 200_000
Row = tuple[str, str, str, str, str]


def stream(people: int, batch: int) -> Iterator[tuple[np.ndarray[Any, Any], list[str]]]:
    """Batches of two groups 0.24 apart, both in each."""
    draw = np.random.default_rng(7)
    for _ in range(people // batch):
        groups = (draw.random(batch) < 0.3).astype(int)
        groups[:2] = 0, 1
        yield np.clip(draw.normal(0.6 - 0.24 * groups, 0.15), 0, 1), [str(code) for code in groups]


def ours(algorithm: Online[Any]) -> Callable[[], None]:
    """Serves the next batch."""
    batches = list(stream(64_000, BATCH))
    state, position = algorithm.init(), 0

    def serve() -> None:
        nonlocal state, position
        scores, groups = batches[position % len(batches)]
        state, _, _ = algorithm.step(state, scores, {"group": groups})
        position += 1

    return serve


def theirs() -> Callable[[], None]:
    """The same by the published package: a backbone that gives the first input back."""
    from fairness_training import FairModel

    class First(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :1]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = FairModel(
            input_dim=2, protected_attr_idx=1, custom_network=First(), prediction_bounds=(0.0, 1.0),
            fairness_tolerance=float(EPSILON), fairness_metric="mean_pred", b_tau=1000,
        )  # fmt: skip
    batches = [
        torch.tensor(np.column_stack([scores, [float(g) for g in groups]]), dtype=torch.float32)
        for scores, groups in stream(1600, BATCH)
    ]
    position = 0

    def serve() -> None:
        nonlocal position
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model(batches[position % len(batches)], inference=True)
        position += 1

    return serve


def steps() -> Iterator[Row]:
    known: Any = {"features": ["group"], "values": {"group": ["0", "1"]}}
    base = timed(theirs(), 60)
    for name, algorithm in (
        ("the paper's", PrimalDual("demographic_parity", EPSILON, **known)),
        ("pooled", PooledPrimalDual("demographic_parity", EPSILON, **known)),
    ):
        serve = ours(algorithm)
        for _ in range(500):
            serve()
        took = timed(serve, 3000)
        ratio = f"{base / took:.0f}× (≥ 100×)"
        yield (
            f"online step, batch {BATCH}, {name}",
            "fairness_training",
            f"{took * 1e3:.0f} µs",
            f"{base:.1f} ms",
            ratio,
        )


def appending(folder: Path) -> Iterator[Row]:
    """People a second, each batch durable when acknowledged, against a bare file, written and synced as often."""
    header = Header("bench", None, None, columns_of(["group"]))
    for group in (1, 64):
        batches = [
            Batch([str(k) for k in range(BATCH)], {"group": groups}, scores, scores)
            for scores, groups in stream(BATCH * 64 * 8, BATCH)
        ]
        with LogWriter.create(folder / f"append-{group}", header, None, lambda: 0) as log:
            start = time.perf_counter()
            for k in range(0, len(batches), group):
                log.append_many(batches[k : k + group])
            took = time.perf_counter() - start
        with (folder / "plain").open("wb") as plain:
            content = os.urandom(BATCH * 48 * group)
            start = time.perf_counter()
            for _ in range(0, len(batches), group):
                plain.write(content)
                plain.flush()
                os.fsync(plain.fileno())
            base = time.perf_counter() - start
        rate, bare = (BATCH * len(batches) / seconds for seconds in (took, base))
        shown = [f"{number:,.0f} people/s" for number in (rate, bare)]
        yield (
            f"append, batches of {BATCH}, {group} a commit",
            "a bare file, synced",
            *shown,
            f"{bare / rate:.1f}× slower",
        )


def chain(folder: Path) -> Iterator[Row]:
    """Bytes of records a second, hashed into leaves, tree and links, against SHA-256 over them at a stretch."""
    header = Header("bench", None, None, columns_of(["group"]))
    draw = np.random.default_rng(3)
    with LogWriter.create(folder / "chain", header, None, lambda: 0) as log:
        for start in range(0, RECORDS, 1000):
            scores = draw.random(1000)
            groups = ["0" if u < 0.5 else "1" for u in scores]
            log.append([f"person-{start + k}" for k in range(1000)], {"group": groups}, scores, scores)
        log.seal()
    read = read_log(folder / "chain")
    table = read.table().slice(0, 50_000)
    content = b"".join(record_bytes(table, row) for row in range(0, 50_000, 10)) * 10
    megabytes = len(content) / 1e6
    base = megabytes / timed(lambda: hashlib.sha256(content).digest(), 15) * 1e3
    tree = megabytes / timed(lambda: segment_root(table), 7) * 1e3
    whole = megabytes * RECORDS / 50_000 / timed(lambda: read_log(folder / "chain"), 5) * 1e3
    for work, rate in (("leaves and tree", tree), ("a log's chain, from its files", whole)):
        yield work, "SHA-256 of the bytes", f"{rate:.0f} MB/s", f"{base:.0f} MB/s", f"{base / rate:.0f}× slower"


def main() -> None:
    table = Table(title="streams: each side timed by itself, medians")
    for title in ("work", "against", "ours", "theirs", "ratio"):
        table.add_column(title, justify="left" if title in ("work", "against") else "right")
    with tempfile.TemporaryDirectory() as name:
        for rows in (steps(), appending(Path(name)), chain(Path(name))):
            for row in rows:
                table.add_row(*row)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
