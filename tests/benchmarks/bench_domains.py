"""Whole domains of the public networks by the verb `individual`, beside FairQuant: shares after a minute.

    python tests/benchmarks/bench_domains.py [--time 60] [--only AC-4 …] [--readme]

Each line is one run of the verb, its start and the check included. FairQuant's figures are those of its own C code,
30 s at most, on a machine with two cores. Sampled: people of whom some flip gets another decision, of 40 000. The same
questions as in `tests/individual/test_shares.py`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import final

from rich.console import Console
from rich.table import Table

MODELS = Path(__file__).parents[2].parent / "shared" / "models"
QUESTIONS = {
    "AC": ("adult", "adult", "sex"),
    "GC": ("german", "german_as_published", "age"),
    "BM": ("bank", "bank_as_published", "job"),
    "co": ("compas", "compas", "Race"),
}
FAIRQUANT = {
    "AC-1": 9.3, "AC-2": 20.1, "AC-3": 66.7, "AC-4": 89.3, "AC-5": 87.9, "AC-6": 41.2, "AC-8": 33.5, "AC-9": 8.9,
    "AC-10": 12.3, "GC-1": 67.3, "GC-3": 41.6, "GC-4": 0.34, "BM-1": 5.8, "BM-2": 6.6, "BM-3": 4.3, "BM-5": 3.7,
    "BM-6": 3.6, "BM-7": 16.3, "compas-1": 0.0, "compas-2": 0.0,
}  # fmt: skip
"""Undecided, % of the domain."""
TITLES = ["network", "certified %", "falsified %", "undecided %", "FairQuant: undecided %", "seconds"]


@final
@dataclass(frozen=True)
class Line:
    """Shares over the reals, in percent."""

    name: str
    certified: float
    falsified: float
    undecided: float
    seconds: float

    @property
    def cells(self) -> list[str]:
        shares = (f"{share:.4g}" for share in (self.certified, self.falsified, self.undecided))
        return [self.name, *shares, f"{FAIRQUANT[self.name]:g}", f"{self.seconds:.1f}"]


def measure(name: str, seconds: float) -> Line:
    """One run of the verb. Errors: RuntimeError with what it printed."""
    folder, domain, sensitive = QUESTIONS[name[:2]]
    with tempfile.TemporaryDirectory() as place:
        shares = Path(place) / "shares.json"
        model, asked = MODELS / folder / f"{name}.onnx", MODELS / "domains" / f"{domain}.toml"
        command = [sys.executable, "-m", "certifair", "individual", str(model), "--domain", str(asked)]
        command += ["--sensitive", sensitive, "--time", f"{seconds:g}", "--json", str(shares)]
        started = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        spent = time.monotonic() - started
        if not shares.exists():
            raise RuntimeError(done.stderr)
        found = json.loads(shares.read_text())
    return Line(name, *(100 * found[share] for share in ("certified", "falsified", "undecided")), spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--time", type=float, default=60.0)
    parser.add_argument("--only", nargs="+", default=list(FAIRQUANT), choices=list(FAIRQUANT))
    parser.add_argument("--readme", action="store_true", help="print a Markdown table")
    given = parser.parse_args()
    table = Table(*TITLES)
    if given.readme:
        print("| " + " | ".join(TITLES) + " |\n|" + "---|" * len(TITLES), flush=True)
    for name in given.only:
        cells = measure(name, given.time).cells
        table.add_row(*cells)
        if given.readme:
            print("| " + " | ".join(cells) + " |", flush=True)
    if not given.readme:
        Console().print(table)


if __name__ == "__main__":
    main()
