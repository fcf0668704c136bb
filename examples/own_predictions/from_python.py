"""The same from Python, starting from a pandas data frame: ingest, certify, verify, judge."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

import pandas as pd

import certifair
import certifair.gate
from certifair.certificate.sign import generate

HERE = Path(__file__).parent


def main() -> int:
    made = subprocess.run([sys.executable, HERE / "make_table.py"], check=True, capture_output=True, text=True)
    frame = pd.read_csv(StringIO(made.stdout))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        public = generate(folder / "key.pem", passphrase=None)
        certifair.ingest(frame, HERE / "certifair.toml", folder / "run")
        certificate = certifair.certify(folder / "run", folder / "key.pem")
        found = certifair.verify(certificate.content, [public], evidence=folder / "run")
        for claim in found.predicate["claims"]:
            print(claim["verdict"], claim["id"], claim["estimate"])
        result = certifair.gate.judge(certificate.content, HERE / "demands.toml", [public])
        print("gate:", result.verdict.value)
        return result.verdict.exit_code


if __name__ == "__main__":
    sys.exit(main())
