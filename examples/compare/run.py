"""Is a fairness layer better than repairing the network, a penalty, post-processing, dropping the attribute?

    python examples/compare/run.py [--folder DIR] [what `certifair compare` takes beside --data and --out]

2 000 made-up applications in DIR/data. All methods take about four minutes; then open DIR/comparison/index.html.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from certifair.cli import main as certifair

DOMAIN = Path(__file__).with_name("domain.toml")
PURPOSES = np.array(["business", "car", "home"])


def applications(n: int, seed: int) -> pa.Table:
    """Women repay a little less often than men of the same income and debt."""
    draw = np.random.default_rng(seed)
    sex = draw.integers(0, 2, n)
    income = np.clip(np.rint(np.exp(draw.normal(3.6 + 0.2 * sex, 0.5))), 0, 200).astype(int)
    debt, purpose = draw.integers(0, 151, n), PURPOSES[draw.integers(0, 3, n)]
    logit = -0.5 + 0.05 * income - 0.03 * debt + 0.5 * sex - 0.5 * (purpose == "business")
    repaid = (draw.random(n) < 1 / (1 + np.exp(-logit))).astype(int)
    return pa.table({"sex": sex, "income": income, "debt": debt, "purpose": purpose, "repaid": repaid})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("certifair-compare"), metavar="DIR")
    args, given = parser.parse_known_args()
    data, out = args.folder / "data" / "domain.toml", args.folder / "comparison"
    data.parent.mkdir(parents=True, exist_ok=True)
    data.write_bytes(DOMAIN.read_bytes())
    csv.write_csv(applications(2000, seed=7), data.with_name("people.csv"))
    return certifair(["compare", "--data", str(data), "--out", str(out), *given])


if __name__ == "__main__":
    sys.exit(main())
