"""The networks of ProF's paper, the rows they are repaired for, and the rows that show what the repair is worth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.evidence.onnx_reader import read_network
from certifair.evidence.rows_file import rows_of
from certifair.evidence.tables import numbers, read_table
from certifair.repair.prof import decisions
from certifair.spec.domain import Domain
from certifair.spec.domain_file import load_domain, with_sensitive
from certifair.spec.layers import layers_of
from certifair.spec.network import Network

Array = NDArray[np.float64]
FOUND = Path(__file__).resolve().parents[3] / "shared"
FILES = {
    "AC1": ("adult-AC1", "adult"),
    "compas1": ("compas-compas1", "compas"),
    "GC1": ("german-GC1", "german"),
    "BM0": ("bank-BM0", "prof_bank"),
}
SENSITIVE = {
    "AC1": (("sex",), ("race",), ("age",), ("sex", "race", "age")),
    "compas1": (("Female",), ("Race",), ("Age",), ("Female", "Race", "Age")),
    "GC1": (("sex",), ("age",), ("sex", "age")),
    "BM0": (("age",),),
}
"""Each alone, as in the paper's main table, and all together; the paper goes up to pairs."""
LABELLED = {"AC1": 500, "compas1": 500, "GC1": 100, "BM0": 500}
"""Rows that ProF's first step sees with their labels, as published."""
DRAWN = 20_000
"""Individuals of the bank domain that stand for training rows."""


@dataclass(frozen=True)
class Case:
    """A network and what is sensitive. Rows (n, inputs) and their labels (n,), 0 or 1, of the training part, in an
    order drawn by the seed, and of the test part. labels: None for the bank, whose rows are not public in this coding.
    """

    name: str
    network: Network
    domain: Domain
    rows: Array
    labels: Array | None
    fresh: Array
    fresh_labels: Array | None
    seed: int

    @property
    def sensitive(self) -> tuple[str, ...]:
        return tuple(self.domain.features[k].name for k in self.domain.sensitive)

    @cached_property
    def decided(self) -> NDArray[np.bool_]:
        """About the test rows, by the network as it is."""
        return decisions(layers_of(self.network), self.fresh)


def case(name: str, sensitive: tuple[str, ...], folder: Path, sample: int, seed: int) -> Case:
    """sample: test individuals of the bank domain. Errors: InputError for a folder that is not the shared one."""
    model, family = FILES[name]
    path = folder / "models" / "prof" / f"{model}.onnx"
    file = load_domain(_there(folder / "models" / "domains" / f"{family}.toml"))
    network, domain = read_network(_there(path).read_bytes(), str(path)), with_sensitive(file.domain, sensitive)
    if network.inputs != domain.inputs:
        raise InputError(f"has {network.inputs} inputs, its domain {domain.inputs}", where=str(path), advice=ADVICE)
    if file.label is None:
        rows, fresh = (drawn(domain, n, k) for n, k in ((DRAWN, 2 * seed), (sample, 2 * seed + 1)))
        return Case(name, network, domain, rows, None, fresh, None, seed)
    table = _there(folder / "data" / "encoded" / f"{family}.csv")
    rows, labels, split = rows_of(table, domain).values, *_labels_and_split(table, file.label)
    train = np.random.default_rng(seed).permutation(np.flatnonzero(split == "train"))
    test = np.flatnonzero(split == "test")
    return Case(name, network, domain, rows[train], labels[train], rows[test], labels[test], seed)


ADVICE = "name the folder that holds models/ and data/ with --data"


def _there(path: Path) -> Path:
    if not path.is_file():
        raise InputError("is not there", where=str(path), advice=ADVICE)
    return path


def _labels_and_split(path: Path, label: str) -> tuple[Array, NDArray[np.str_]]:
    table, where = read_table(path, None)
    if not {label, "split"} <= set(table.column_names):
        raise InputError(f"has no columns {label} and split", where=where, advice=ADVICE)
    labels, split = numbers(table[label], label, where), np.array(table["split"].to_pylist())
    if not np.isin(labels, (0, 1)).all() or set(split.tolist()) != {"train", "test"}:
        raise InputError(f"{label} is not 0 or 1, or split not train or test", where=where, advice=ADVICE)
    return labels, split


def drawn(domain: Domain, count: int, seed: int) -> Array:
    """Individuals of a domain of integers, each as likely."""
    random = np.random.default_rng(seed)
    columns = [random.integers(int(f.low), int(f.high) + 1, count) for f in domain.features]
    return np.column_stack(columns).astype(np.float64)
