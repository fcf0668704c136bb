"""Sign that a policy exists now, before the run: `certify --registration` carries it into the certificate."""

from __future__ import annotations

import argparse
from pathlib import Path

from certifair.cli.options import add_now, check_out, now_of, passphrase
from certifair.evidence.files import read_input


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--policy", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--key", type=Path, required=True, metavar="key.pem", help="the registrar's, best not the owner's"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="NAME.registration.json")
    add_now(parser)


def run(args: argparse.Namespace) -> int:
    from certifair.certificate.certify import register_policy
    from certifair.certificate.sign import load_signer
    from certifair.certificate.times import format_time
    from certifair.evidence.files import write_atomic

    check_out(args.out, args.key, args.policy)
    now = now_of(args)
    signer = load_signer(args.key, passphrase())
    write_atomic(args.out, register_policy(read_input(args.policy), str(args.policy), signer, now))
    print(f"{args.out}: {args.policy} registered at {format_time(now)}")
    return 0
