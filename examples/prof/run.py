"""ProF's setting: its four networks repaired by its method, by ours and by zeroing, all judged by one checker.

    python examples/prof/run.py                                     # about 20 minutes
    python examples/prof/run.py --model compas1 --sensitive Age     # one minute
    python examples/prof/run.py --model BM0 --quick                 # the bank's domain sampled, not enumerated

ProF promises 100 rows, drawn by the seed; finite and zeroing promise all training rows. The table is Markdown.
`examples/published/run.py prof` puts it into `examples/published/README.md`, with what the paper reports.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cases import FOUND, SENSITIVE, Case, case
from measure import METHODS, NONE, PROVED_ROWS, Line, lines

from certifair.errors import CertifairError, InputError

SAMPLE = 1_000_000


def head(bank: bool, args: argparse.Namespace) -> str:
    if not bank:
        titles = ["network, sensitive", "method", "rows to be fair", "proved: reals", "float32", "test accuracy"]
        titles += ["decisions changed", "test rows unfair", "s", "solver"]
    else:
        whole = f"unfair, of {min(PROVED_ROWS, args.sample):,} sampled" if args.quick else "unfair, of all 58 392 576"
        titles = ["network, sensitive", "method", "rows to be fair", "proved: reals", "float32"]
        titles += [f"decisions changed, of {args.sample:,} sampled", whole, "s", "solver"]
    return "\n".join(["| " + " | ".join(titles).replace(",0", " 0") + " |", "|---" * len(titles) + "|"])


def row(title: str, bank: bool, line: Line) -> str:
    """Nothing is left empty: where there is no network, the last cell says why."""
    accuracy = [] if bank else [_cell(line.accuracy, "{:.4f}")]
    unfair = _cell(line.unfair, "{:.3%}")
    if line.undecided:
        unfair += f", {line.undecided:.3%} undecided"
    cells = [title, line.method, str(line.promised), _cell(line.real, "{}"), _cell(line.float32, "{}"), *accuracy]
    cells += [_cell(line.changed, "{:.2%}"), unfair, f"{line.seconds:.1f}", line.status or "–"]
    return "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"


def _cell(value: float | None, form: str) -> str:
    return "no network" if value is None else form.format(value)


def chosen(args: argparse.Namespace) -> list[tuple[str, tuple[str, ...]]]:
    """Errors: InputError for sensitive features that a network is not asked about here."""
    found = [(name, each) for name in args.model for each in SENSITIVE[name]]
    if args.sensitive:
        found = [(name, each) for name, each in found if set(each) == set(args.sensitive)]
    if not found:
        known = ", ".join(sorted({" ".join(each) for name in args.model for each in SENSITIVE[name]}))
        raise InputError(f"= {' '.join(args.sensitive)}", where="--sensitive", advice=f"known here: {known}")
    return found


def judged(cases: list[tuple[str, tuple[str, ...]]], bank: bool, args: argparse.Namespace) -> list[Line]:
    """Print a table, line by line."""
    if not cases:
        return []
    print(head(bank, args), flush=True)
    found = []
    for name, sensitive in cases:
        asked: Case = case(name, sensitive, args.data, args.sample, args.seed)
        for line in lines(asked, args.method, args.seconds, not args.quick, args.out):
            print(row(f"{name}: {', '.join(asked.sensitive)}", bank, line), flush=True)
            found.append(line)
    print()
    return found


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", choices=SENSITIVE, default=list(SENSITIVE), metavar="NAME",
                        help=f"of {', '.join(SENSITIVE)} (default: all)")  # fmt: skip
    parser.add_argument("--sensitive", nargs="+", metavar="FEATURE", help="these together, and no others")
    parser.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS), metavar="NAME",
                        help=f"of {', '.join(METHODS)} (default: all)")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=300.0, help="for each repair (default: %(default)g)")
    parser.add_argument("--quick", action="store_true", help="sample the bank's domain instead of enumerating it")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="of the bank's domain (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="a folder for the repaired networks as ONNX files")
    parser.add_argument("--data", type=Path, default=FOUND, metavar="DIR",
                        help="with models/ and data/ (default: %(default)s)")  # fmt: skip
    return parser


def main(args: argparse.Namespace) -> int:
    if not (args.seconds > 0 and args.sample > 0 and args.seed >= 0):
        raise InputError("--seconds and --sample are above 0, --seed is not below")
    asked = chosen(args)
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
    found = judged([each for each in asked if each[0] != "BM0"], False, args)
    found += judged([each for each in asked if each[0] == "BM0"], True, args)
    answers = [line for line in found if line.method != NONE and line.real is not None]
    missing = len(asked) * len(args.method) - len(answers)
    checks = {
        f"every row that a repair promised is proved fair, of reals and float32 ({len(answers)} repairs)":
            all(line.kept for line in answers),
        f"no repair took more than {args.seconds:g} s": all(line.seconds <= args.seconds for line in found),
    }  # fmt: skip
    for name, holds in checks.items():
        print(f"{'holds' if holds else 'DOES NOT HOLD'}: {name}")
    if missing:
        print(f"without an answer: {missing}, see the table")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(arguments().parse_args()))
    except CertifairError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
