"""Turn a table of predictions (CSV, Parquet, JSONL), or the folder of a log, into an evidence bundle."""

from __future__ import annotations

import argparse
from pathlib import Path

from certifair.cli.options import head_opener


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS")
    parser.add_argument("--policy", type=Path, required=True, metavar="FILE", help="column names, groups, properties")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="the bundle's folder, a new one")
    parser.add_argument(
        "--multipliers", type=Path, metavar="FILE", help="a layer's multipliers: batch_id, row, multiplier"
    )
    parser.add_argument("--public-key", type=Path, metavar="PEM", help="of whoever signed the head of the log")


def run(args: argparse.Namespace) -> int:
    from certifair.errors import InputError
    from certifair.evidence.ingest import ingest, ingest_log

    if not args.predictions.is_dir():
        if args.public_key is not None:
            raise InputError("belongs to a log", where="--public-key", advice="a table is not signed")
        kept = ingest(args.predictions, args.policy, args.out, args.multipliers)
    elif args.multipliers is None:
        open_head = None if args.public_key is None else head_opener(args.public_key)
        kept = ingest_log(args.predictions, args.policy, args.out, open_head)
    else:
        raise InputError("a log holds its own multipliers", where="--multipliers", advice="leave it out")
    print(f"{args.out}: {kept} rows; next: certifair certify {args.out} --key key.pem --out NAME.certificate.json")
    return 0
