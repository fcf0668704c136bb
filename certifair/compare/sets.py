"""Reading a SET.toml: a domain's file that names its rows and their label, with what is compared on them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from certifair.compare.base import DataSet
from certifair.errors import InputError
from certifair.evidence.files import read_input
from certifair.evidence.tables import numbers, read_table, texts
from certifair.spec.domain_file import DomainFile, read_domain
from certifair.spec.toml_reader import nearest

if TYPE_CHECKING:
    import pyarrow as pa

SPLIT: Final = "split"
FEW, MANY = 8, 50
"""Values that a sensitive feature may have to be groups by itself, and that any groups may have."""


def load_set(path: Path) -> DataSet:
    """Errors: InputError and PolicyError, naming the file, the key or column, and what to do."""
    content, where = read_input(path), str(path)
    found = read_domain(content, where)
    if found.rows is None or found.label is None:
        advice = 'write rows = "people.csv" and label = "COLUMN" above the features'
        raise InputError("names no rows, or not the column of the right decision", where=where, advice=advice)
    rows = path.parent / found.rows
    model = None if found.comparison.model is None else path.parent / found.comparison.model
    files = [content, read_input(rows), *([] if model is None else [read_input(model)])]
    table, name = read_table(rows, None)
    _check_columns(table, found, name)
    groups = _groups(table, found, name)
    asked = found.comparison
    return DataSet(
        name=found.domain.name,
        where=path,
        domain=found.domain,
        rows=rows,
        label=found.label,
        split=_split(table, asked.split, name),
        groups=tuple(groups),
        values=groups,
        metric=asked.metric,
        epsilon=asked.epsilon,
        batch=asked.batch,
        hidden=asked.hidden,
        epochs=asked.epochs,
        model=model,
        digest=hashlib.sha256(b"".join(hashlib.sha256(item).digest() for item in files)).hexdigest(),
    )


def _check_columns(table: pa.Table, found: DomainFile, where: str) -> None:
    assert found.label is not None
    for column in (*(feature.name for feature in found.domain.features), found.label):
        if column not in table.column_names:
            raise InputError(f"has no column {column!r}", where=where, advice=nearest(column, table.column_names))
    labels = numbers(table[found.label], found.label, where)
    if set(labels.tolist()) - {0.0, 1.0}:
        raise InputError(f"{found.label!r} holds more than 0 and 1", where=where, advice="name a column of decisions")


def _groups(table: pa.Table, found: DomainFile, where: str) -> dict[str, tuple[str, ...]]:
    """Each group column's values, sorted."""
    named = found.comparison.groups
    if named is None:
        features = [item for item in found.domain.features if item.sensitive]
        names = [item.name for item in features if item.levels is not None and 2 <= item.levels <= FEW]
    else:
        names = list(named)
    if not names:
        advice = f'no sensitive feature has 2 to {FEW} values: write [compare] groups = ["COLUMN"]'
        raise InputError("has no groups to compare", where=found.domain.name, advice=advice)
    values = {}
    for name in names:
        if name not in table.column_names:
            advice = nearest(name, table.column_names)
            raise InputError(f"has no column {name!r}, which [compare] groups names", where=where, advice=advice)
        values[name] = tuple(sorted(texts(table[name], name, where).dictionary.to_pylist()))
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
