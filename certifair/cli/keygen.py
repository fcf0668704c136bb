"""Make a signing key: key.pem (0600, locked by CERTIFAIR_PASSPHRASE if set) and key.pub.pem beside it."""

from __future__ import annotations

import argparse
from pathlib import Path

from certifair.cli.options import passphrase


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="key.pem")
    parser.add_argument("--algorithm", choices=("p256", "ed25519"), default="p256", help="default: %(default)s")


def run(args: argparse.Namespace) -> int:
    from certifair.certificate.keys import load_public_key
    from certifair.certificate.sign import generate

    secret = passphrase()
    public = generate(args.out, secret, algorithm=args.algorithm)
    print(f"{args.out} (private, keep it{'' if secret else '; not locked: CERTIFAIR_PASSPHRASE is not set'})")
    print(f"{public} (public, give it to whoever verifies; key id {load_public_key(public).id[:16]}…)")
    return 0
