"""Judge a certificate by your own policy; exits with your policy's verdict."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from certifair.cli.options import add_trust, expectations, read_certificate
from certifair.evidence.files import read_input


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("certificate", type=Path, metavar="CERT")
    parser.add_argument("--policy", type=Path, required=True, metavar="FILE", help="the relying party's demands")
    parser.add_argument("--evidence", type=Path, metavar="RUN", help="the bundle: compute every claim again first")
    parser.add_argument(
        "--output",
        action="append",
        metavar="FORMAT[=FILE]",
        help="text, json, junit or github; repeatable (default: text)",
    )
    add_trust(parser)


def run(args: argparse.Namespace) -> int:
    from certifair.certificate.verify import verify_certificate
    from certifair.gate.evaluate import evaluate
    from certifair.gate.outputs.deliver import deliver, parse_output
    from certifair.spec.policy import Policy

    specs = [parse_output(text) for text in args.output or ["text"]]
    content = read_input(args.policy)
    policy = Policy.parse(content, str(args.policy))
    expect = expectations(args)
    found = verify_certificate(read_certificate(args.certificate), expect, args.evidence, str(args.certificate))
    result = evaluate(found, policy, expect.now, str(args.policy))
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    deliver(
        result,
        specs,
        str(args.policy),
        content.decode(),
        stdout=sys.stdout,
        step_summary=Path(summary) if summary else None,
    )
    return result.verdict.exit_code
