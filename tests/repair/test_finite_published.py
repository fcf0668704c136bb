"""What must hold on the published networks: every training row proved fair, and nothing lost against zeroing."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("highspy", reason="HiGHS is absent: it solves the program")

from certifair.evidence.onnx_reader import read_network
from certifair.evidence.rows_file import rows_of
from certifair.repair._first_layer import ignores
from certifair.repair.base import Task
from certifair.repair.finite import Finite
from certifair.repair.zeroing import pinned, sensitive_columns
from certifair.spec.domain_file import load_domain, with_sensitive
from tests.repair.finite_cases import check_proved, decided, right, soon

PUBLISHED = {
    "AC1": ("prof/adult-AC1", "adult", ["sex", "race", "age"]),
    "compas1": ("prof/compas-compas1", "compas", ["Female", "Race", "Age"]),
    "GC1": ("prof/german-GC1", "german", ["sex", "age"]),
}


@pytest.fixture
def published(shared: Path, request):
    """Network, domain, rows, labels, which of them are for training."""
    model, data, sensitive = PUBLISHED[request.param]
    file = load_domain(shared / "models" / "domains" / f"{data}.toml")
    path, table = shared / "models" / f"{model}.onnx", shared / "data" / "encoded" / f"{data}.csv"
    if not path.is_file() or not table.is_file():
        pytest.skip(f"{model} or the rows of {data} are not here")
    with table.open() as lines:
        read = list(csv.DictReader(lines))
    assert file.label is not None
    wanted = np.array([float(row[file.label]) for row in read])
    train = np.array([row["split"] == "train" for row in read])
    domain = with_sensitive(file.domain, sensitive)
    return read_network(path.read_bytes(), model), domain, rows_of(table, domain).values, wanted, train


@pytest.mark.parametrize("published", PUBLISHED, indirect=True)
def test_every_training_row_is_proved_fair_and_nothing_is_lost_against_zeroing(published):
    net, domain, rows, wanted, train = published
    found = Finite().repair(Task(net, domain, rows[train], wanted[train], deadline=soon(2))).network
    assert found is not None
    check_proved(found, domain, rows[train], ("real", "float32"))
    columns = sensitive_columns(domain)
    zeroed = pinned(net, columns, np.zeros(len(columns)))
    for part in (train, ~train):
        assert right(found, rows[part], wanted[part]) >= right(zeroed, rows[part], wanted[part])


def test_nobody_of_profs_bank_domain_is_treated_differently(shared: Path):
    """0 units of 58 392 576, as no weight reads the age; and fewer decisions change than with age 0."""
    path = shared / "models" / "prof" / "bank-BM0.onnx"
    if not path.is_file():
        pytest.skip("ProF's bank network is not here")
    net = read_network(path.read_bytes(), "BM0")
    domain = load_domain(shared / "models" / "domains" / "prof_bank.toml").domain
    random = np.random.default_rng(1)
    rows = np.column_stack([random.integers(int(f.low), int(f.high) + 1, 40_000) for f in domain.features]) * 1.0
    fit, fresh = rows[:20_000], rows[20_000:]
    found = Finite().repair(Task(net, domain, fit, objective="change", deadline=soon(2))).network
    assert found is not None
    assert ignores(found, sensitive_columns(domain))
    check_proved(found, domain, fit[:2000])
    before = decided(net, fresh)
    changed, zeroed = ((decided(x, fresh) != before).mean() for x in (found, pinned(net, [0], np.zeros(1))))
    assert changed < 0.025 < zeroed
