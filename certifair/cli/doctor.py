"""List what is installed: packages with versions and licences, solvers, and what adds the optional parts."""

from __future__ import annotations

import argparse
import platform
import re
import shutil
from importlib import metadata

CORE = (
    "numpy",
    "scipy",
    "pyarrow",
    "narwhals",
    "duckdb",
    "cryptography",
    "securesystemslib",
    "rfc8785",
    "jsonschema-rs",
    "onnx",
    "rich",
)
EXTRA = "pip install 'certifair[torch]'"
TRAINING = dict.fromkeys(
    ("torch", "numba", "cvxpy", "cvxpylayers", "PuLP", "highspy", "joblib", "safetensors", "onnxscript"), EXTRA
)
OPTIONAL = {
    "matplotlib": "pip install 'certifair[report]'",
    "jinja2": "pip install 'certifair[report]'",
    "auto_LiRPA": "pip install --no-deps auto_LiRPA==0.3 && pip install tqdm packaging appdirs pyyaml",
    "pyspark": "pip install 'certifair[spark]', and Java 17 or newer",
    "fairlearn": "pip install fairlearn",
    "pandas": "pip install pandas",
    "polars": "pip install polars",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser  # no option


def run(args: argparse.Namespace) -> int:
    """0 if everything that is needed is there, 2 otherwise."""
    del args
    print(f"Python {platform.python_version()} on {platform.platform(terse=True)}")
    found = [_line(name, "pip install certifair") for name in CORE]
    print("needed:", *found, sep="\n  ")
    print("training, proofs about networks, and their solvers (to certify, verify and gate, none is needed):")
    print(*(f"  {_line(name, how)}" for name, how in TRAINING.items()), sep="\n")
    print("optional:", *(_line(name, how) for name, how in OPTIONAL.items()), sep="\n  ")
    for tool in ("openssl", "node"):
        print(f"  {tool:<18} {shutil.which(tool) or 'not found (only needed to verify with foreign clients)'}")
    missing = [name for name in CORE if _version(name) is None]
    print(f"missing: {', '.join(missing)}" if missing else "all that is needed is there")
    return 2 if missing else 0


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _line(name: str, how: str) -> str:
    version = _version(name)
    if version is None:
        return f"{name:<18} not installed: {how}"
    return f"{name:<18} {version:<12} {_licence(name)}"


def _licence(name: str) -> str:
    """The licence as the package declares it, in a few words."""
    declared = metadata.metadata(name)
    stated = [declared[key] for key in ("License-Expression", "License") if key in declared]
    text = next((text for text in stated if text), "")
    if not text or len(text) > 60:
        classifiers = [item for item in declared.get_all("Classifier") or [] if item.startswith("License ::")]
        text = classifiers[0].rsplit("::", 1)[-1].strip() if classifiers else "licence not declared"
    return re.sub(r"\s+", " ", text)
