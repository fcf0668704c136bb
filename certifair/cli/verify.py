"""Verify a certificate: signature, schema, time, subject, consistency; with --evidence every claim computed again."""

from __future__ import annotations

import argparse
from pathlib import Path

from certifair.cli.options import add_trust, claim_lines, expectations, people, read_certificate
from certifair.spec.printable import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("certificate", type=Path, metavar="CERT")
    parser.add_argument("--evidence", type=Path, metavar="RUN", help="the bundle: compute every claim again")
    add_trust(parser)


def run(args: argparse.Namespace) -> int:
    from certifair.certificate.verify import verify_certificate

    found = verify_certificate(
        read_certificate(args.certificate), expectations(args), args.evidence, str(args.certificate)
    )
    predicate = found.predicate
    system = predicate["system"]
    name = printable(f"{system['name']} {system['version']}")
    print(f"trusted: {name}, serial {predicate['serial']}, key {found.key_id[:16]}…")
    print(f"issued {predicate['issuedAt']}, valid until {predicate['validUntil']}; {people(predicate)}")
    print("\n".join(claim_lines(predicate["claims"])))
    if found.with_evidence:
        print(f"every claim was computed again from {args.evidence}: {found.verdict.value}")
        return found.verdict.exit_code
    print(f"the owner's verdict: {found.verdict.value} (authentic and consistent; --evidence RUN computes it again)")
    return 0
