from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from certifair.compare import outputs
from certifair.compare.table import Table
from tests.compare.tables import HOSTILE, build


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("comparison")


@pytest.fixture(scope="session")
def table(folder: Path) -> Table:
    made = build(folder)
    for name in outputs.names():
        outputs.get(name).write(made, folder)
    return made


@pytest.fixture(scope="session")
def small(table: Table) -> Table:
    """The hostile set only: there is less to draw."""
    return dataclasses.replace(table, sets=[HOSTILE])
