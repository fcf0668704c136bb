"""`make bench`: every speed claim as a ratio, both sides measured in this one run. No threshold is asserted here."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import bench_audit
import bench_individual
import bench_layer
import bench_stability
import bench_streams
import duckdb
import numpy as np
import pyarrow as pa
from bench_layer import timed
from cryptography.hazmat.primitives.asymmetric import ec
from rich.console import Console
from rich.table import Table

from certifair.certificate.certify import certify_bundle
from certifair.certificate.sign import generate, load_signer, signer_of
from certifair.evidence.ingest import ingest

ROWS = 1_000_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEAD = """
[data]
sensitive_features = ["sex", "race"]
[data.values]
sex = ["f", "m"]
race = ["a", "b", "c", "d", "e"]
[predictions]
score = "score"
[system]
frozen = true
held_out = true
"""
FEASIBILITY = [
    ("sex", 'sensitive_features = "sex"'),
    ("race", 'sensitive_features = "race"'),
    ("both", 'sensitive_features = ["sex", "race"]\nintersectional = true'),
]


def policy(*, population: str | None) -> str:
    """Parity over sex, race and their product, and the same of decisions or scores in the population."""
    text = HEAD
    kinds = ["feasibility"] if population is None else ["feasibility", "population"]
    for kind in kinds:
        for name, features in FEASIBILITY:
            text += f'[[property]]\nid = "{kind}-{name}"\nkind = "{kind}"\nmetric = "demographic_parity"\n{features}\n'
            text += "epsilon = 0.05\n"
            text += f'map = "{population}"\n' if kind == "population" else ""
    return text


def process(*command: str) -> Callable[[], object]:
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def bundles(folder: Path) -> dict[str, Path]:
    """A million people, seeded, under three policies."""
    draw = np.random.default_rng(7)
    names = {"sex": ["f", "m"], "race": ["a", "b", "c", "d", "e"]}
    columns = {name: pa.array(values).take(draw.integers(0, len(values), ROWS)) for name, values in names.items()}
    people = pa.table({**columns, "score": draw.beta(2, 3, ROWS)})
    found = {}
    for name, population in (("feasibility", None), ("decisions", "decisions"), ("scores", "scores")):
        (folder / f"{name}.toml").write_text(policy(population=population))
        found[name] = folder / name
        ingest(people, folder / f"{name}.toml", found[name])
    return found


def main() -> None:
    rows: list[tuple[str, str, float, float, str]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = bundles(folder)
        connection = duckdb.connect()
        query = 'SELECT "group.sex", "group.race", count(*), sum(prediction) FROM read_parquet(?) GROUP BY ALL'
        file = str(runs["feasibility"] / "predictions.parquet")
        sums = timed(lambda: connection.execute(query, [file]).fetchall(), 15)
        signer = signer_of(ec.generate_private_key(ec.SECP256R1()))
        for kind, run in runs.items():
            took = timed(lambda run=run: certify_bundle(run, signer, now=NOW, serial="bench"), 7)
            target = "< 10×" if kind != "scores" else "–"
            rows.append((f"certify, 10⁶ rows: {kind}", "DuckDB group sums", took, sums, target))
        key, certificate = folder / "key.pem", folder / "small.certificate.json"
        public = generate(key, None)
        certifair = str(Path(sys.executable).parent / "certifair")
        process(certifair, "demo", "--out", str(folder / "demo"))()
        demo = folder / "demo" / "lending.certificate.json"
        nothing = timed(process(sys.executable, "-c", "pass"), 31)
        verify = process(certifair, "verify", str(demo), "--public-key", str(folder / "demo" / "key.pub.pem"))
        rows.append(
            ("verify the demo's certificate, whole process", "python -c pass", timed(verify, 31), nothing, "≤ 10×")
        )
        certificate.write_bytes(certify_bundle(runs["decisions"], load_signer(key, None), now=NOW, serial="b").content)
        clock = ("--now", "2026-01-02T00:00:00Z")
        verify = process(certifair, "verify", str(certificate), "--public-key", str(public), *clock)
        rows.append(("verify one of 10⁶ rows, 6 claims", "python -c pass", timed(verify, 15), nothing, "–"))
    show(rows)
    bench_layer.main()
    bench_individual.main()
    bench_stability.main()
    bench_streams.main()
    bench_audit.main([10**7, 10**8])


def show(rows: list[tuple[str, str, float, float, str]]) -> None:
    table = Table(title=f"{os.cpu_count()} cores, Python {sys.version.split()[0]}; medians")
    for title in ("work", "against", "ms", "ms", "ratio", "target"):
        table.add_column(title, justify="left" if title in ("work", "against") else "right")
    for work, against, took, base, target in rows:
        table.add_row(work, against, f"{took:.1f}", f"{base:.1f}", f"{took / base:.1f}×", target)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
