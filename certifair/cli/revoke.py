"""Revoke certificates: write a signed revocation list, the entries of an earlier one kept."""

from __future__ import annotations

import argparse
from pathlib import Path

from certifair.cli.options import add_now, check_out, now_of, passphrase
from certifair.evidence.files import read_input


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("serial", nargs="+", metavar="SERIAL")
    parser.add_argument("--reason", required=True)
    parser.add_argument(
        "--key", type=Path, required=True, metavar="key.pem", help="the key that signed the certificates"
    )
    parser.add_argument("--list", type=Path, metavar="FILE", help="the list so far; its entries are kept")
    parser.add_argument("--out", type=Path, required=True, metavar="revoked.json")
    add_now(parser)


def run(args: argparse.Namespace) -> int:
    from certifair.certificate.certify import own_key, revoke_serials
    from certifair.certificate.notices import revoked_serials
    from certifair.certificate.sign import load_signer
    from certifair.certificate.times import format_time
    from certifair.errors import InputError
    from certifair.evidence.canonical import is_unicode
    from certifair.evidence.files import write_atomic

    check_out(args.out, args.key)
    if not is_unicode(args.reason):
        raise InputError("is not UTF-8", where="--reason")
    now = now_of(args)
    signer = load_signer(args.key, passphrase())
    kept = [] if args.list is None else revoked_serials(read_input(args.list), [own_key(signer)], now, str(args.list))
    known = {entry["serial"] for entry in kept}
    fresh = [
        {"serial": serial, "revokedAt": format_time(now), "reason": args.reason}
        for serial in dict.fromkeys(args.serial)
        if serial not in known
    ]
    write_atomic(args.out, revoke_serials([*kept, *fresh], signer, now))
    print(f"{args.out}: {len(kept) + len(fresh)} serials revoked")
    return 0
