"""Logs for the tests of the audit, and what must be found in them, worked out row by row in Python."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MISSING = "(missing)"
NASTY = [
    *(0.0, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 1e300, -1e300, 1.7976931348623157e308, -3e5, 2.0**22),
    *(2.0**-57, 2.0**-58, 0.1, 0.3, -0.7, 1 / 3, 2.0**30, 2.0**-40, 1 - 2.0**-53, 1e-20, 2.0**52 + 1, -(2.0**970)),
]


def people(rows: int, seed: int = 3, *, nasty: bool = False) -> dict[str, list[Any]]:
    """Columns sex, race, prediction, score; predictions on the grid 2^-40 unless nasty."""
    draw = random.Random(seed)
    grid = [draw.randrange(2**40 + 1) / 2**40 for _ in range(rows)]
    return {
        "sex": [draw.choice("fm") for _ in range(rows)],
        "race": [draw.choice(["a", "b", "c", None]) for _ in range(rows)],
        "prediction": [draw.choice(NASTY) for _ in range(rows)] if nasty else grid,
        "score": [draw.random() for _ in range(rows)],
    }


def expected(table: Mapping[str, Sequence[Any]], keys: Sequence[str], value: str = "prediction") -> dict[Any, Any]:
    """{values: [n, exact sum, positives above 1/2]}."""
    found: dict[Any, list[Any]] = {}
    for at, x in enumerate(table[value]):
        values = tuple(MISSING if table[key][at] in (None, "") else str(table[key][at]) for key in keys)
        cell = found.setdefault(values, [0, Fraction(0), 0])
        cell[0] += 1
        cell[1] += Fraction(x)
        cell[2] += x > 0.5
    return found


def found(evidence: bytes) -> dict[Any, Any]:
    """The same of an audit's evidence."""
    cells = json.loads(evidence)["cells"]
    return {tuple(c["values"]): [c["n"], Fraction(c["sum"]), c["positives"][0]] for c in cells}


def write(table: Mapping[str, Sequence[Any]], path: Path, **options: Any) -> Path:
    """As Parquet, CSV or JSONL, by the suffix."""
    if path.suffix == ".parquet":
        pq.write_table(pa.table(dict(table)), path, **options)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(table)
            writer.writerows(
                ["" if v is None else repr(v) if isinstance(v, float) else v for v in row]
                for row in zip(*table.values(), strict=True)
            )
    else:
        rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
