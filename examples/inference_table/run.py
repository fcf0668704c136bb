"""An inference table as a serving platform exports it, made and audited. Usage: run.py [--engine spark] [--out DIR]"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
PARTS, ROWS = 3, 2000
PREDICTION = "response:$.predictions[0]"
GROUP = "sex=request:$.dataframe_records[0].sex"


def make(folder: Path) -> None:
    """Parquet files of requests and responses, and beside them what Databricks and Spark leave in such a folder."""
    draw = random.Random(1)
    folder.mkdir(parents=True)
    actions = []
    for part in range(PARTS):
        rows = []
        for number in range(ROWS):
            sex, age = draw.choice("fm"), draw.randrange(18, 90)
            prediction = draw.betavariate(2, 3) + (0.01 if sex == "m" else 0.0)
            request = {"dataframe_records": [{"sex": sex, "age": age}]}
            rows.append(
                {
                    "databricks_request_id": f"{part}-{number}",
                    "status_code": 200,
                    "request": json.dumps(request),
                    "response": json.dumps({"predictions": [prediction]}),
                }
            )
        name = f"part-{part:05}.snappy.parquet"
        pq.write_table(pa.Table.from_pylist(rows), folder / name, compression="snappy")
        actions.append({"add": {"path": name, "dataChange": True}})
    (folder / "_SUCCESS").touch()
    (folder / "_delta_log").mkdir()
    commit = folder / "_delta_log" / f"{0:020}.json"
    commit.write_text("".join(json.dumps(action) + "\n" for action in actions))


def audit(*options: str, cwd: Path) -> int:
    command = [sys.executable, "-m", "certifair", "audit", "inference_table", "--group", GROUP, *options]
    print("$ certifair", *command[3:], flush=True)
    return subprocess.run(command, cwd=cwd, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="duckdb")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    out = args.out or Path(tempfile.mkdtemp(prefix="inference-table-"))
    if not (out / "inference_table").exists():
        make(out / "inference_table")
    engine = ("--engine", args.engine)
    shown = audit("--prediction", PREDICTION, *engine, "--json", f"shown-{args.engine}.json", cwd=out)
    policy = str(HERE / "policy.toml")
    judged = audit("--policy", policy, *engine, "--json", f"judged-{args.engine}.json", cwd=out)
    print(f"results in {out}")
    return shown or judged


if __name__ == "__main__":
    sys.exit(main())
