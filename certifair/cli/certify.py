"""Run the checks of a bundle's policy and sign the certificate; exits with the verdict."""

from __future__ import annotations

import argparse
import re
import uuid
from pathlib import Path

from certifair.cli.options import add_now, check_out, claim_lines, now_of, passphrase, people, say
from certifair.errors import InputError
from certifair.evidence.files import read_input

_SERIAL = re.compile("[A-Za-z0-9._:-]{1,128}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", type=Path, metavar="RUN")
    parser.add_argument("--key", type=Path, required=True, metavar="key.pem")
    parser.add_argument("--out", type=Path, required=True, metavar="NAME.certificate.json")
    parser.add_argument("--serial", metavar="S", help="default: a random one")
    parser.add_argument("--supersedes", metavar="S", help="the serial of the certificate that this one replaces")
    parser.add_argument("--valid-for", type=_days, default=90, metavar="D", help="days (default: %(default)s)")
    parser.add_argument("--registration", type=Path, metavar="FILE", help="the policy's signed registration")
    parser.add_argument("--registrar-key", type=Path, action="append", default=[], metavar="PEM")
    add_now(parser)


def _days(text: str) -> int:
    days = text.removesuffix("d")
    if not days.isascii() or not days.isdigit() or not 1 <= int(days) <= 36500:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days from 1 to 36500")
    return int(days)


def run(args: argparse.Namespace) -> int:
    from certifair.certificate.certify import Registration, certify_bundle
    from certifair.certificate.keys import load_public_keys
    from certifair.certificate.sign import load_signer
    from certifair.evidence.files import write_atomic
    from certifair.spec.verdict import Verdict

    check_out(args.out, args.key, *args.registrar_key, *([args.registration] if args.registration else []))
    serial = _serial(args.serial) if args.serial else str(uuid.uuid4())
    registration = None
    if args.registration is not None:
        registration = Registration(read_input(args.registration), load_public_keys(args.registrar_key))
    signer = load_signer(args.key, passphrase())
    say(f"checking {args.run_folder} …")
    certified = certify_bundle(
        args.run_folder,
        signer,
        now=now_of(args),
        serial=serial,
        valid_days=args.valid_for,
        supersedes=_serial(args.supersedes) if args.supersedes else None,
        registration=registration,
    )
    write_atomic(args.out, certified.content)
    verdict = Verdict(certified.predicate["verdict"])
    print("\n".join(claim_lines(certified.predicate["claims"])))
    print(people(certified.predicate))
    print(f"{args.out}: {verdict.value}, serial {serial}, valid until {certified.predicate['validUntil']}")
    return verdict.exit_code


def _serial(text: str) -> str:
    if not _SERIAL.fullmatch(text):
        raise InputError(f"{text!r} is not a serial", where="--serial", advice="use letters, digits and . _ : -")
    return text
