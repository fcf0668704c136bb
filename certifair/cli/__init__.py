"""The command line: one file a verb, imported only when it is called, so that `verify` starts fast."""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from certifair import __version__
from certifair.errors import CertifairError, InputError
from certifair.spec.printable import printable

VERBS = (
    "demo",
    "init",
    "doctor",
    "keygen",
    "train",
    "ingest",
    "certify",
    "verify",
    "gate",
    "audit",
    "individual",
    "stability",
    "repair",
    "compare",
    "register",
    "revoke",
)
EPILOG = "exit codes: 0 pass, 1 a proven violation, 2 usage or input error, 3 undecided, 4 untrusted, 70 internal error"
INTERNAL, INTERRUPTED = 70, 130


def entry() -> NoReturn:
    """The console script: one verb, then out at once.

    Nothing is torn down. It would cost time, and the threads of torch and Arrow, ended by their libraries' destructors,
    have been seen to abort the process, with an exit code that is none of ours.
    """
    gc.disable()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the caller closed it
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        getattr(sys, name).reconfigure(errors="backslashreplace")
    code = main()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody listens any more, and `main` has said so
            stream.flush()
    os._exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns its exit code. Nothing but a proven violation returns 1."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    args = _parser(arguments).parse_args(arguments)
    try:
        code = int(args.run(args))
        sys.stdout.flush()
    except CertifairError as error:
        print(f"certifair {args.verb}: {printable(' '.join(str(error).split()))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"certifair {args.verb}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:  # a closed pipe, a full disk, a name that the system refuses
        _silence_output()
        place = f"{error.filename}: " if error.filename else ""
        print(f"certifair {args.verb}: {place}{error.strerror or error}", file=sys.stderr)
        return InputError.exit_code
    except Exception as error:
        _report(args.verb, error)
        return INTERNAL
    return code


def _silence_output() -> None:
    """If nobody can be told any more, the interpreter must not try again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Parser(argparse.ArgumentParser):
    """A usage error in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(InputError.exit_code, f"{self.prog}: {' '.join(message.split())}; see {self.prog} --help\n")


def _report(verb: str, error: Exception) -> None:
    if os.environ.get("CERTIFAIR_DEBUG"):
        import traceback

        traceback.print_exception(error)
    detail = printable(" ".join(f"{type(error).__name__}: {error}".split())[:300])
    print(
        f"certifair {verb}: internal error ({detail}); set CERTIFAIR_DEBUG=1 for the traceback and report it",
        file=sys.stderr,
    )


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the verb that is called, or of all of them for help and errors."""
    parser = _Parser(prog="certifair", description="Certificates of fairness that a stranger can check.", epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"certifair {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    called = arguments[0] if arguments and arguments[0] in VERBS else None
    for name in (called,) if called else VERBS:
        module = _module(name)
        summary = (module.__doc__ or "").split("\n", 1)[0].rstrip(".")
        verb = verbs.add_parser(name, help=summary, description=module.__doc__, epilog=EPILOG)
        module.add_arguments(verb)
        verb.set_defaults(run=module.run)
    return parser


def _module(verb: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{verb}")
