"""People to train on and to be measured on, and how they are split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.layer.encoding import encode_column, feature_columns

MOST_CLASSES = 10
"""Labels with more distinct values than this are numbers, and no stratum is made of them."""


@final
@dataclass(frozen=True, eq=False)
class Dataset:
    """n people. `inputs` (n, d), floats (or another shape that the backbone takes); `columns`: names of the d inputs.

    `sensitive`: by name, texts or codes (n,). `labels` (n,) numbers; `conditions` (n,) texts or codes, for metrics that
    need them. Raises InputError for columns of another length and for what is not finite.
    """

    inputs: torch.Tensor
    sensitive: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    labels: torch.Tensor | None = None
    conditions: NDArray[Any] | None = None
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.inputs.ndim < 2:
            raise InputError(f"inputs have the shape {tuple(self.inputs.shape)}, not (people, columns)")
        others = {**self.sensitive, "labels": self.labels, "conditions": self.conditions}
        for name, values in others.items():
            if values is not None and len(values) != len(self):
                raise InputError(f"{name!r} has {len(values)} values for {len(self)} people")
        if self.columns and (self.inputs.ndim != 2 or len(self.columns) != self.inputs.shape[1]):
            raise InputError(f"{len(self.columns)} names for inputs of the shape {tuple(self.inputs.shape)}")
        for what, tensor in (("inputs", self.inputs), ("labels", self.labels)):
            if tensor is not None and not bool(torch.isfinite(tensor).all()):
                bad = int((~torch.isfinite(tensor)).reshape(len(tensor), -1).any(dim=1).nonzero()[0])
                raise InputError(f"{what} of row {bad + 1} are missing or not finite", advice="impute or drop the row")

    @staticmethod
    def of(
        inputs: Any,
        sensitive_features: Any = None,
        labels: Any = None,
        conditions: Any = None,
        columns: Sequence[str] = (),
    ) -> Dataset:
        """From arrays, lists, tensors, Series, DataFrames of numbers; sensitive features as the layer takes them."""
        names = tuple(columns) or tuple(str(name) for name in getattr(inputs, "columns", ()))
        sensitive = {}
        if sensitive_features is not None:
            given = (
                np.asarray(sensitive_features) if isinstance(sensitive_features, list | tuple) else sensitive_features
            )
            for column in feature_columns(given, None, None):
                sensitive[column.name] = np.array(column.values)[column.codes]
        if conditions is not None:
            condition = encode_column(conditions, "conditions", None)
            conditions = np.array(condition.values)[condition.codes]
        return Dataset(
            torch.from_numpy(numbers(inputs, "inputs", names)),
            sensitive,
            None if labels is None else torch.from_numpy(numbers(labels, "labels")),
            conditions,
            names,
        )

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, people: NDArray[np.int64]) -> Dataset:
        """These people, in this order."""
        index = torch.from_numpy(people).to(self.inputs.device)
        return replace(
            self,
            inputs=self.inputs[index],
            sensitive={name: values[people] for name, values in self.sensitive.items()},
            labels=None if self.labels is None else self.labels[index.to(self.labels.device)],
            conditions=None if self.conditions is None else self.conditions[people],
        )

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Dataset:
        """Inputs and labels on the device; floating inputs in the dtype (labels stay as they are)."""
        inputs = self.inputs.to(device, dtype) if self.inputs.is_floating_point() else self.inputs.to(device)
        return replace(self, inputs=inputs, labels=None if self.labels is None else self.labels.to(device))


def numbers(values: Any, what: str, columns: Sequence[str] = ()) -> NDArray[np.float64]:
    """Numbers in float64, of any form. Raises InputError that names the first column holding something else."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    for name in columns if hasattr(values, "columns") else ():
        _floats(values[name], f"{what}: the column {name!r}")
    return np.array(_floats(values, what), order="C")


def _floats(values: Any, what: str) -> NDArray[np.float64]:
    try:
        return np.asarray(values).astype(np.float64)
    except (ValueError, TypeError):
        raise InputError(f"{what} does not hold numbers only", advice="encode categories as numbers first") from None


def hide_sensitive(data: Dataset, columns: Sequence[str] | None = None) -> Dataset:
    """The same people with these input columns left out; layer and metrics still see the sensitive features.

    By default the columns called like a sensitive feature, or like one of its values as one-hot encoders write it
    ("sex", "sex=f", "sex_f"). Raises InputError for an unknown column, none at all, inputs without names.
    """
    if not data.columns:
        raise InputError("inputs without names cannot be hidden", advice="pass columns=, or a DataFrame")
    if columns is None:
        names = {
            name
            for feature, values in data.sensitive.items()
            for value in np.unique(values).tolist()
            for name in (feature, f"{feature}={value}", f"{feature}_{value}")
        }
        columns = [name for name in data.columns if name in names]
        if not columns:
            raise InputError("no input is called like a sensitive feature", advice="pass columns=, or hide nothing")
    for name in columns:
        if name not in data.columns:
            raise InputError(f"there is no input {name!r} to hide", advice=f"inputs: {', '.join(data.columns)}")
    kept = [k for k, name in enumerate(data.columns) if name not in set(columns)]
    if not kept:
        raise InputError("no input would be left", advice="hide fewer columns")
    return replace(data, inputs=data.inputs[:, kept], columns=tuple(data.columns[k] for k in kept))


def strata(data: Dataset) -> NDArray[np.int64]:
    """Codes (n,) of sensitive features × label; labels of more than ten distinct values are left out."""
    parts = [np.unique(values, return_inverse=True)[1] for values in data.sensitive.values()]
    if data.labels is not None and data.labels.ndim == 1:
        found, codes = np.unique(data.labels.cpu().numpy(), return_inverse=True)
        parts += [codes] if len(found) <= MOST_CLASSES else []
    if not parts:
        return np.zeros(len(data), dtype=np.int64)
    codes = np.unique(np.stack(parts, axis=1), axis=0, return_inverse=True)[1]
    return codes.reshape(-1).astype(np.int64)


def split_indices(
    codes: NDArray[np.int64], parts: Mapping[str, float | str | Decimal | Fraction], seed: int
) -> dict[str, NDArray[np.int64]]:
    """Who is in which part, ascending. Each stratum is split within one person of the parts.

    Everybody is in exactly one part, and the first part has somebody of every stratum. Raises InputError for parts that
    do not add up to 1.
    """
    shares = {name: Fraction(str(share)) for name, share in parts.items()}
    if any(share < 0 for share in shares.values()) or sum(shares.values()) != 1:
        raise InputError(f"the parts {dict(parts)} do not add up to 1", where="split")
    rng = np.random.default_rng([seed, 0])
    part_of = np.empty(len(codes), dtype=np.int64)
    for code in np.unique(codes):
        people = rng.permutation(np.flatnonzero(codes == code))
        # floor(m·F + u) − floor(m·E + u) is m·(F − E) rounded up or down for any u; drawn, small strata are not biased.
        shift = Fraction(int(rng.integers(1 << 20)), 1 << 20)
        reached, ends = Fraction(0), []
        for share in shares.values():
            reached += share
            ends.append(max(int(len(people) * reached + shift), 1 if next(iter(shares.values())) else 0))
        part_of[people] = np.searchsorted(np.array(ends), np.arange(len(people)), side="right")
    return {name: np.flatnonzero(part_of == k) for k, name in enumerate(shares)}


def split(data: Dataset, parts: Mapping[str, float | str | Decimal | Fraction], seed: int) -> dict[str, Dataset]:
    """`{"train": 0.7, "test": 0.3}`: seeded parts, each stratum of group × label split within one person."""
    return {name: data.take(people) for name, people in split_indices(strata(data), parts, seed).items()}
