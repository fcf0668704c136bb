"""Regenerate one table of `README.md` beside this file, by the example that it comes from.

    python examples/published/run.py synthetic      # the layer paper's synthetic sets, all 32: five minutes
    python examples/published/run.py employee       # the layer paper's employee experiment: half a minute
    python examples/published/run.py prof           # ProF's setting: 20 minutes

What follows the name goes to the example. Nothing is written if the example says that something does not hold.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import torch

from certifair.errors import CertifairError, InputError

PAGE = Path(__file__).with_name("README.md")
EXAMPLES = {"synthetic": ("--all",), "employee": (), "prof": ()}
FIRST = {"synthetic": "means over", "employee": "      ", "prof": "|"}
"""How the first line of the table begins; it ends with the first blank one, ProF's tables with the last one."""


def output(name: str, given: list[str]) -> tuple[int, list[str]]:
    """The exit code of an example and what it prints, which is shown as it comes."""
    script = PAGE.parents[1] / name / "run.py"
    found = []
    with subprocess.Popen([sys.executable, script, *given], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            print(line, end="", flush=True)
            found.append(line.rstrip())
    return running.returncode, found


def table(name: str, lines: list[str]) -> list[str]:
    """As Markdown. Errors: InputError if there is none."""
    start = next((k for k, line in enumerate(lines) if line.startswith(FIRST[name])), None)
    if start is None:
        raise InputError("printed no table", where=f"examples/{name}/run.py")
    if name == "prof":
        return [line for line in lines[start:] if not line or line.startswith("|")]
    end = next((k for k in range(start, len(lines)) if not lines[k]), len(lines))
    return ["```text", *lines[start:end], "```"]


def put(name: str, lines: list[str], page: Path = PAGE) -> None:
    """Between this name's mark and the next end. Errors: InputError for a page without them."""
    text = page.read_text(encoding="utf-8")
    before, mark, rest = text.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not mark or not end:
        raise InputError(f"has no marks for {name}", where=str(page))
    page.write_text(before + mark + "\n".join(lines).strip("\n") + "\n" + end + after, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=EXAMPLES)
    parser.add_argument("--page", type=Path, default=PAGE, help="default: README.md beside this file")
    args, given = parser.parse_known_args()
    started = time.monotonic()
    code, lines = output(args.name, [*EXAMPLES[args.name], *given])
    if code:
        return code
    command = " ".join(["python examples/published/run.py", args.name, *given])
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    made = f"`{command}`: {time.monotonic() - started:.0f} s, {os.cpu_count()} cores, {versions}"
    put(args.name, [made, "", *table(args.name, lines)], args.page)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CertifairError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
