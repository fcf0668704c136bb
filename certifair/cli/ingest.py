"""Turn a table of predictions (CSV, Parquet, JSONL) into an evidence bundle."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS")
    parser.add_argument("--policy", type=Path, required=True, metavar="FILE", help="column names, groups, properties")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="the bundle's folder, a new one")
    parser.add_argument(
        "--multipliers", type=Path, metavar="FILE", help="a layer's multipliers: batch_id, row, multiplier"
    )


def run(args: argparse.Namespace) -> int:
    from certifair.evidence.ingest import ingest

    kept = ingest(args.predictions, args.policy, args.out, args.multipliers)
    print(f"{args.out}: {kept} rows; next: certifair certify {args.out} --key key.pem --out NAME.certificate.json")
    return 0
