"""What several methods share: the base network, and fairlearn's way of being told groups."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Any

from certifair.compare.base import Case, NothingError
from certifair.compare.bundles import Mask, People
from certifair.evidence.onnx_reader import read_network
from certifair.spec.network import Network

LONGEST = 300
"""Characters of a note."""


def base_of(case: Case) -> Network:
    """The network to start from. Raises NothingError if the case has none."""
    if case.base is None:
        raise NothingError("failed", "there is no network to start from")
    return read_network(case.base, "the base network")


def fairlearn(part: str) -> Any:
    """A module of fairlearn. Raises NothingError where the package is not installed."""
    try:
        return importlib.import_module(f"fairlearn.{part}")
    except ModuleNotFoundError:
        raise NothingError("does not apply", "fairlearn is not installed (pip install fairlearn)") from None


def versions(*names: str) -> str:
    """Installed packages and their versions, for people."""
    return ", ".join(f"{name} {version(name)}" for name in names)


def group_frame(crowd: People, part: Mask) -> Any:
    """The groups of one part as a pandas frame, of which fairlearn makes the columns' intersection."""
    import pandas as pd

    return pd.DataFrame({name: values[part] for name, values in crowd.groups.items()})


def one_line(text: str) -> str:
    """A text as one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
