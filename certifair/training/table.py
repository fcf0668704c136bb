"""From a policy and a table to people that a network can be trained on and served to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from certifair.errors import InputError, PolicyError
from certifair.evidence.inputs import Input, Inputs
from certifair.evidence.tables import first_row, numbers, read_table, texts
from certifair.spec import Json
from certifair.spec.groups import MISSING
from certifair.spec.policy import Policy
from certifair.training.data import Dataset, split_indices, strata


@final
@dataclass(frozen=True, eq=False)
class People:
    """A whole table, encoded. `train` and `kept` (n,) say who is trained on and who is served and certified."""

    data: Dataset
    inputs: Inputs
    train: NDArray[np.bool_]
    kept: NDArray[np.bool_]
    exclusions: list[Json]
    unseen: Mapping[str, int]
    """How many rows have a category that no training row has, by input column: such a person's inputs are zeros."""


def read_people(source: Any, policy: Policy, where: str) -> tuple[People, pa.Table]:
    """The people of a table, and the table. Raises InputError naming column and row, PolicyError naming the key."""
    if policy.data.label is None:
        raise PolicyError("names no label, which training needs", where=where, advice="write [data] label")
    table, name = read_table(source, None)
    for column in (policy.data.label, policy.data.id, policy.data.split, *policy.columns()):
        if column is not None and column not in table.column_names:
            raise InputError(f"has no column {column!r}", where=name)
    sensitive = {feature: _groups(table, feature, policy, name) for feature in policy.columns()}
    labels = torch.from_numpy(np.array(numbers(table[policy.data.label], policy.data.label, name)))
    people = Dataset(torch.zeros(table.num_rows, 1), sensitive, labels)
    train, kept, exclusions = _parts(table, people, policy, name)
    inputs = Inputs(tuple(_input(table, column, train, name) for column in _input_columns(table, policy, where)))
    try:
        inputs.to_bytes()
    except ValueError as error:
        raise InputError(f"cannot be the inputs of a network: it {error}", where=name) from None
    encoded = torch.from_numpy(inputs.encode(table))
    unseen = {item.column: _unseen(table, item, name) for item in inputs.items if item.kind == "category"}
    found = People(
        data=Dataset(encoded, sensitive, labels, _conditions(policy, sensitive), _names(inputs)),
        inputs=inputs,
        train=train,
        kept=kept,
        exclusions=exclusions,
        unseen={column: count for column, count in unseen.items() if count},
    )
    return found, table


def _conditions(policy: Policy, sensitive: Mapping[str, NDArray[Any]]) -> NDArray[Any] | None:
    condition = None if policy.layer is None else policy.layer.condition
    return None if condition is None else sensitive[condition]


def _groups(table: pa.Table, name: str, policy: Policy, where: str) -> NDArray[Any]:
    """The values of a feature or condition as texts (n,)."""
    column = texts(table[name], name, where)
    if (row := first_row(column.is_null())) is not None and policy.data.missing == "error":
        advice = 'fill it in, or count such people as a group with [data] missing = "group"'
        raise InputError(f"{name!r} is missing in row {row}", where=where, advice=advice)
    found: NDArray[Any] = np.array(pc.fill_null(column.cast(pa.string()), MISSING).to_pylist())
    return found


def _parts(
    table: pa.Table, people: Dataset, policy: Policy, where: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], list[Json]]:
    """(trained on, certified, what became of the others)."""
    part = _part_of_each(table, people, policy, where)
    train, kept = np.isin(part, policy.data.train), np.isin(part, policy.data.certify)
    for mask, key, names in ((train, "train", policy.data.train), (kept, "certify", policy.data.certify)):
        if not mask.any():
            found = ", ".join(sorted(set(part.tolist())))
            raise InputError(
                f"no row is in a part of [data] {key} = {list(names)}", where=where, advice=f"parts: {found}"
            )
    if (train & kept).any():
        raise PolicyError("[data] train and certify name the same part", where=where, advice="certify rows held out")
    by = policy.data.split or "split"
    others, counts = np.unique(part[~kept], return_counts=True)
    exclusions = [
        {"reason": f"{by} = {name}", "count": count}
        for name, count in zip(others.tolist(), counts.tolist(), strict=True)
    ]
    return train, kept, exclusions


def _part_of_each(table: pa.Table, people: Dataset, policy: Policy, where: str) -> NDArray[Any]:
    """The name of the part that each row is in: as its column says, or drawn by the model's seed."""
    if policy.data.split is not None:
        column = texts(table[policy.data.split], policy.data.split, where).cast(pa.string())
        if (row := first_row(column.is_null())) is not None:
            raise InputError(f"{policy.data.split!r} is missing in row {row}", where=where)
        return np.array(column.to_pylist())
    if not policy.data.fractions:
        advice = 'write split = "COLUMN" or split = {train = 0.7, test = 0.3}'
        raise PolicyError("[data] says not what to train on", where=where, advice=advice)
    assert policy.model is not None
    part = np.empty(len(people), dtype=object)
    for name, members in split_indices(strata(people), dict(policy.data.fractions), policy.model.seed).items():
        part[members] = name
    return part.astype(str)


def _input_columns(table: pa.Table, policy: Policy, where: str) -> Sequence[str]:
    """The columns that the network sees: as listed, or all that are nothing else."""
    data = policy.data
    sensitive = set(data.sensitive_features)
    if data.inputs is None:
        taken = {data.id, data.label, data.split, *sensitive}
        found = [name for name in table.column_names if name not in taken]
    else:
        found = list(data.inputs)
        if unknown := [name for name in found if name not in table.column_names]:
            raise InputError(f"has no column {unknown[0]!r}, which [data] inputs names", where=where)
        if data.label in found:
            raise PolicyError("[data] inputs names the label", where=where, advice="leave it out")
    if policy.training is not None and policy.training.hide_sensitive:
        found = [name for name in found if name not in sensitive]
    if not found:
        raise InputError("has no column left to be an input", where=where, advice="write [data] inputs")
    return found


def _input(table: pa.Table, name: str, train: NDArray[np.bool_], where: str) -> Input:
    """Numbers, also written as texts, are one input; anything else a category with the values of the training rows."""
    column = table[name]
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        try:
            pc.cast(pc.drop_null(column), pa.float64())
        except pa.ArrowInvalid:
            seen = pc.drop_null(column.filter(pa.array(train)).cast(pa.string())).unique().to_pylist()
            return Input(name, "category", tuple(sorted(value for value in seen if value)))
        return Input(name, "number")
    if pa.types.is_dictionary(column.type):
        seen = pc.drop_null(texts(column, name, where).cast(pa.string()).filter(pa.array(train))).unique().to_pylist()
        return Input(name, "category", tuple(sorted(seen)))
    return Input(name, "number")


def _unseen(table: pa.Table, item: Input, where: str) -> int:
    found = pc.is_in(
        texts(table[item.column], item.column, where).cast(pa.string()), pa.array(item.values, pa.string())
    )
    seen: int = pc.sum(found).as_py()
    return int(table.num_rows) - seen


def _names(inputs: Inputs) -> tuple[str, ...]:
    """A name for each input of the network."""
    return tuple(
        name
        for item in inputs.items
        for name in ([item.column] if item.kind == "number" else [f"{item.column}={value}" for value in item.values])
    )
