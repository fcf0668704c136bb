"""The audit's speed: exact sums of a Parquet log against DuckDB's bare float sums, as ratios measured side by side.

Called by bench.py; also runs by itself: `python bench_audit.py 10000000 100000000`. The log is made in a folder that is
removed (about 70 MB for ten million rows).
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from certifair.evidence.audit import engines
from certifair.evidence.audit.count import Counter
from certifair.evidence.audit.mapping import Mapping
from certifair.evidence.audit.parts import inspect, parts_of
from certifair.evidence.audit.plan import Asked
from certifair.evidence.audit.run import audit
from certifair.evidence.audit.sources import find

BLOCK = 1_000_000
GROUPS = {"feature.sex": ["f", "m"], "feature.race": ["a", "b", "c", "d", "e"]}
MIB = 1 << 20


def make(path: Path, rows: int, *, grid: bool = True) -> None:
    """A log of people, seeded, one row group after the other: predictions on the grid 2^-40, or any float64."""
    draw = np.random.default_rng(7)
    fields = [*((name, pa.string()) for name in GROUPS), ("prediction", pa.float64())]
    with pq.ParquetWriter(path, pa.schema(fields), compression="zstd", use_dictionary=list(GROUPS)) as writer:
        for start in range(0, rows, BLOCK):
            n = min(BLOCK, rows - start)
            values = draw.beta(2, 3, n)
            columns = {name: pa.array(words).take(draw.integers(0, len(words), n)) for name, words in GROUPS.items()}
            columns["prediction"] = pa.array(np.round(values * 2**40) / 2**40 if grid else values)
            writer.write_table(pa.table(columns))


def bare(path: Path, groups: list[str]) -> None:
    names = ", ".join(f'"{name}"' for name in groups)
    with duckdb.connect() as connection:
        query = f"SELECT {names}, count(*), sum(prediction) FROM read_parquet(?) GROUP BY {names}"
        connection.execute(query, [str(path)]).fetchall()


def sums(path: Path, groups: list[str]) -> None:
    """Counts, exact sums and positives: the whole audit but for the digest and the verdicts."""
    mapping = Mapping("prediction", None, tuple((name, name) for name in groups))
    parts = parts_of([inspect(file) for file in find([str(path)]).files], mapping)
    with engines.start("duckdb") as engine:
        Counter(engine, parts, mapping, [Fraction(1, 2)]).tally(strict=True)


def whole(path: Path, groups: list[str]) -> None:
    audit([str(path)], Asked(prediction="prediction", groups=tuple(groups)))


def compared(works: list[Callable[[], None]], repeats: int) -> list[float]:
    """Medians in milliseconds; the works take turns, so that a busy machine is as busy for all."""
    times: list[list[float]] = [[] for _ in works]
    for turn in range(repeats + 1):
        for work, found in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            if turn:  # the first is for the caches
                found.append((time.perf_counter() - start) * 1e3)
    return [statistics.median(found) for found in times]


def peak(path: Path, groups: list[str]) -> float:
    """The largest memory, in MiB, of a process that audits the log from the command line."""
    options = [word for name in groups for word in ("--group", name)]
    command = [sys.executable, "-m", "certifair", "audit", str(path), "--prediction", "prediction", *options]
    watched = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
    watched += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    done = subprocess.run([sys.executable, "-c", watched, *command], capture_output=True, text=True, check=True)
    return int(done.stdout) * 1024 / MIB


def main(rows: list[int]) -> list[str]:
    lines = []
    for n in rows:
        for grid in (True, False) if n <= 10 * BLOCK else (True,):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "log.parquet"
                make(path, n, grid=grid)
                for groups in ([next(iter(GROUPS))], list(GROUPS)):
                    lines.append(_line(path, n, groups, grid=grid))
                    print(lines[-1], flush=True)
    return lines


def _line(path: Path, n: int, groups: list[str], *, grid: bool) -> str:
    works = [lambda work=work: work(path, groups) for work in (bare, sums, whole)]
    base, exact, all_of_it = compared(works, 9 if n <= 10 * BLOCK else 3)
    kind = "grid" if grid else "any float64"
    return (
        f"audit {n:.0e} rows ({kind}), by {len(groups)}: bare {base:.0f} ms; exact sums {exact:.0f} ms = "
        f"{exact / base:.2f}× (target ≤ 2×); whole audit with SHA-256 {all_of_it:.0f} ms = {all_of_it / base:.2f}×; "
        f"peak {peak(path, groups):.0f} MiB (target < 2048)"
    )


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [10 * BLOCK])
