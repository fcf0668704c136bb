"""Reading a SET.toml: a domain's file that names its rows and their label, with what is compared on them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from certifair.compare.base import DataSet
from certifair.compare.policy import PART, PREDICTION, SCORE
from certifair.errors import InputError, PolicyError
from certifair.evidence.files import read_input
from certifair.evidence.network_bundle import check_widths
from certifair.evidence.onnx_reader import read_network
from certifair.evidence.tables import first_row, numbers, read_table, texts
from certifair.spec.domain import Feature
from certifair.spec.domain_file import DomainFile, read_domain
from certifair.spec.toml_reader import nearest

if TYPE_CHECKING:
    import pyarrow as pa

SPLIT: Final = "split"
FEW, MANY = 8, 50
"""Values that a sensitive feature may have to be groups by itself, and that any groups may have."""
OURS: Final = (PREDICTION, SCORE)
"""Columns beside the label and the groups where a run has no network."""
LONGEST, LARGEST = 100, 200
"""Characters and bytes of a set's name, which names a folder."""
FEWEST: Final = 4
"""People of one group and label of whom a drawn 30% has somebody, whatever the seed."""


def load_set(path: Path) -> DataSet:
    """Errors: InputError and PolicyError, naming the file, the key or column, and what to do."""
    content, where = read_input(path), str(path)
    found = read_domain(content, where)
    if found.rows is None or found.label is None:
        advice = 'write rows = "people.csv" and label = "COLUMN" above the features'
        raise InputError("names no rows, or not the column of the right decision", where=where, advice=advice)
    _check_names(found, where)
    rows = path.parent / found.rows
    model = None if found.comparison.model is None else path.parent / found.comparison.model
    files = [content, read_input(rows), *([] if model is None else [read_input(model)])]
    if model is not None:
        check_widths(read_network(files[-1], str(model)), found.domain, str(model))
    table, name = read_table(rows, None)
    _check_columns(table, found, name)
    groups = _groups(table, found, name, where)
    asked = found.comparison
    split = _split(table, asked.split, name)
    _check_parts(table, split, [*groups, found.label], name)
    return DataSet(
        name=found.domain.name,
        where=path,
        domain=found.domain,
        rows=rows,
        label=found.label,
        split=split,
        groups=tuple(groups),
        values=groups,
        metric=asked.metric,
        epsilon=asked.epsilon,
        batch=asked.batch,
        hidden=asked.hidden,
        epochs=asked.epochs,
        model=model,
        held_out=asked.held_out,
        digest=hashlib.sha256(b"".join(hashlib.sha256(item).digest() for item in files)).hexdigest(),
    )


def _check_names(found: DomainFile, where: str) -> None:
    """What can be told without any row: one column cannot be two things."""
    name, asked = found.domain.name, found.comparison
    if len(name) > LONGEST or len(name.encode()) > LARGEST:
        what = f"has a name of {len(name)} characters ({len(name.encode())} bytes)"
        raise PolicyError(what, where=where, advice=f"give it at most {LONGEST} characters, {LARGEST} bytes")
    features = [feature.name for feature in found.domain.features]
    for one, listed, what in (
        (found.label, features, "the label is also a feature"),
        (found.label, asked.groups or (), "the label is also among the groups"),
        (asked.split, features, "what [compare] split names is also a feature"),
        (asked.split, asked.groups or (), "what [compare] split names is also among the groups"),
        (asked.split, (found.label,), "what [compare] split names is also the label"),
    ):
        if one is not None and one in listed:
            raise PolicyError(f"{what}: {one!r}", where=where, advice="name another column")
    sensitive = [feature.name for feature in found.domain.features if feature.sensitive]
    served = {found.label, *(asked.groups or sensitive)}
    for one in sorted({PART} & {*served, *features, asked.split} | {*OURS} & served):
        raise PolicyError(f"names the column {one!r}, which runs write", where=where, advice="rename it")


def _check_columns(table: pa.Table, found: DomainFile, where: str) -> None:
    assert found.label is not None
    for column in (*(feature.name for feature in found.domain.features), found.label):
        if column not in table.column_names:
            raise InputError(f"has no column {column!r}", where=where, advice=nearest(column, table.column_names))
    labels = numbers(table[found.label], found.label, where)
    if set(labels.tolist()) - {0.0, 1.0}:
        raise InputError(f"{found.label!r} holds more than 0 and 1", where=where, advice="name a column of decisions")
    for feature in found.domain.features:
        _check_feature(table, feature, where)


def _check_feature(table: pa.Table, feature: Feature, where: str) -> None:
    """Every row has a number, or one of the values listed."""
    if feature.kind != "one_hot":
        numbers(table[feature.name], feature.name, where)
        return
    for row, value in enumerate(_complete(table, feature.name, where), 1):
        if value not in feature.values:
            what = f"{feature.name!r} is {value!r} in row {row}, which is none of the feature's values"
            raise InputError(what, where=where, advice=nearest(value, feature.values))


def _complete(table: pa.Table, name: str, where: str) -> list[str]:
    """A column of texts without gaps."""
    column = texts(table[name], name, where).cast("string")
    if (row := first_row(column.is_null())) is not None:
        raise InputError(f"{name!r} is missing in row {row}", where=where, advice="fill it in or leave the row out")
    found: list[str] = column.to_pylist()
    return found


def _groups(table: pa.Table, found: DomainFile, where: str, set_file: str) -> dict[str, tuple[str, ...]]:
    """Each group column's values, sorted."""
    named = found.comparison.groups
    if named is None:
        features = [item for item in found.domain.features if item.sensitive]
        names = [item.name for item in features if item.levels is not None and 2 <= item.levels <= FEW]
    else:
        names = list(named)
    if not names:
        advice = f'no sensitive feature has 2 to {FEW} values: write [compare] groups = ["COLUMN"]'
        raise InputError("has no groups to compare", where=set_file, advice=advice)
    values = {}
    for name in names:
        if name not in table.column_names:
            advice = nearest(name, table.column_names)
            raise InputError(f"has no column {name!r}, which [compare] groups names", where=where, advice=advice)
        values[name] = tuple(sorted(set(_complete(table, name, where))))
        if not 2 <= len(values[name]) <= MANY:
            what = f"{name!r} has {len(values[name])} values, which are no groups"
            raise InputError(what, where=where, advice=f"name columns with 2 to {MANY} values in [compare] groups")
    return values


def _split(table: pa.Table, asked: str | None, where: str) -> str | None:
    if asked is None:
        return SPLIT if SPLIT in table.column_names else None
    if asked not in table.column_names:
        advice = nearest(asked, table.column_names)
        raise InputError(f"has no column {asked!r}, which [compare] split names", where=where, advice=advice)
    return asked


def _check_parts(table: pa.Table, split: str | None, drawn_by: Sequence[str], where: str) -> None:
    """There are people to train on and others to serve, with every seed. drawn_by: whose values make strata."""
    if split is not None:
        parts = set(_complete(table, split, where))
        for part in (part for part in ("train", "test") if part not in parts):
            advice = (
                f"it says {', '.join(sorted(parts)[:FEW])}; [compare] split names the column that says train or test"
            )
            raise InputError(f"{split!r} says {part!r} of no row", where=where, advice=advice)
        return
    strata = Counter(zip(*(_complete(table, name, where) for name in drawn_by), strict=True))
    if max(strata.values()) < FEWEST:
        advice = 'give more rows, or a column that says train or test: [compare] split = "COLUMN"'
        raise InputError("has too few rows for a drawn test part", where=where, advice=advice)
