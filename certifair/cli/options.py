"""Options that several verbs share: keys, clock, digests, and progress on standard error."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certifair.errors import InputError
from certifair.evidence.canonical import canonical, sha256, strict_json
from certifair.evidence.files import read_input
from certifair.spec.printable import printable

if TYPE_CHECKING:
    from certifair.certificate.verify import Expectations
    from certifair.evidence.log.reader import OpenHead

PASSPHRASE = "CERTIFAIR_PASSPHRASE"  # noqa: S105 — the name of a variable, not a secret


def passphrase() -> str | None:
    """The passphrase of the environment, if any."""
    return os.environ.get(PASSPHRASE) or None


@contextlib.contextmanager
def needed(what: str, install: str = "pip install 'certifair[torch]'") -> Iterator[None]:
    """What is not installed is one error; what: who needs it, with the verb. One of our own modules is a bug."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("certifair"):
            raise
        raise InputError(f"{what} {error.name}", advice=install) from None


def check_out(out: Path, *inputs: Path) -> None:
    """Refuse to write over what is read."""
    for path in inputs:
        if out.exists() and path.exists() and out.samefile(path):
            raise InputError("would be overwritten", where=str(path), advice="choose another --out")


def read_certificate(path: Path) -> bytes:
    """A certificate's bytes; what is too large to be one is not read."""
    from certifair.certificate.envelope import MAX_SIZE

    return read_input(path, limit=MAX_SIZE)


def people(predicate: dict[str, Any]) -> str:
    """How many the claims speak of, and how many were left out."""
    n = next(item["rowCount"] for item in predicate["materials"] if item["role"] == "data")
    left_out = sum(item["count"] for item in predicate["population"]["exclusions"])
    reasons = ", ".join(printable(item["reason"]) for item in predicate["population"]["exclusions"])
    return f"{n} people" + (f", {left_out} left out ({reasons})" if left_out else ", nobody left out")


def add_now(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--now", metavar="T", help="the time to assume, YYYY-MM-DDTHH:MM:SSZ (default: the clock)")


def now_of(args: argparse.Namespace) -> datetime:
    """The injected time, or the clock's, in whole seconds."""
    from certifair.certificate.times import now_or, parse_time

    if args.now is None:
        return now_or(None)
    try:
        return parse_time(args.now)
    except ValueError as error:
        raise InputError(f"{args.now!r} {error}", where="--now") from None


def add_trust(parser: argparse.ArgumentParser) -> None:
    """What a verifier knows beside the certificate."""
    parser.add_argument(
        "--public-key", type=Path, action="append", required=True, metavar="PEM", help="a key to trust (repeatable)"
    )
    parser.add_argument("--revoked", type=Path, metavar="FILE", help="a signed revocation list")
    parser.add_argument("--subject", metavar="DIGEST|FILE", help="the system meant: its SHA-256 or its system.json")
    parser.add_argument("--model", type=Path, metavar="FILE", help="the model file that the system must contain")
    parser.add_argument(
        "--registrar-key", type=Path, action="append", default=[], metavar="PEM", help="who may register policies"
    )
    add_now(parser)


def expectations(args: argparse.Namespace) -> Expectations:
    from certifair.certificate.keys import load_public_keys
    from certifair.certificate.verify import Expectations

    return Expectations(
        keys=load_public_keys(args.public_key),
        now=now_of(args),
        revocations=None if args.revoked is None else read_input(args.revoked),
        subject_sha256=None if args.subject is None else subject_digest(args.subject),
        model_sha256=None if args.model is None else sha256(read_input(args.model)),
        registrar_keys=load_public_keys(args.registrar_key),
    )


def head_opener(path: Path) -> OpenHead:
    """Opens the heads of logs that this key signed."""
    from certifair.certificate.keys import load_public_key
    from certifair.certificate.log_head import open_head

    key = load_public_key(path)
    return lambda content: open_head(content, [key], "head.json")


def subject_digest(text: str) -> str:
    """A SHA-256 in hexadecimal (`sha256:` may stand before it), or that of a system.json."""
    digest = text.removeprefix("sha256:").lower()
    if re.fullmatch("[0-9a-f]{64}", digest):
        return digest
    try:
        return sha256(canonical(strict_json(read_input(Path(text)))))
    except ValueError as error:
        raise InputError(str(error), where=text, advice="give a SHA-256 or a system.json") from None


def say(text: str) -> None:
    """Progress, for a person: standard error, so that results can be piped."""
    print(text, file=sys.stderr, flush=True)


def claim_lines(claims: Sequence[dict[str, object]]) -> list[str]:
    """One line a claim: verdict, id, figure, statement; a second with the reason where it is no PASS."""
    lines = []
    for claim in claims:
        figure = "–" if claim["estimate"] is None else str(claim["estimate"])[:8]
        if figure == "0.000000":
            figure = "<1e-6"
        if claim["confidence"] is not None and claim["estimate"] is not None:
            ends = ["∞" if claim[end] is None else str(claim[end])[:8] for end in ("lower", "upper")]
            figure += f" in [{ends[0]}, {ends[1]}]"
        lines.append(f"{claim['verdict']:<9} {claim['id']}: {figure}")
        lines.append(f"          {claim['statement']}")
        if claim["reason"]:
            lines.append(f"          {claim['reason']}")
    return [printable(line) for line in lines]
