"""The domain of a claim about a network: from a policy and the network's inputs to ranges, from these to a `Domain`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from certifair.errors import PolicyError
from certifair.evidence.inputs import Inputs
from certifair.exact.decimals import outward
from certifair.spec.domain import Domain, Feature, Kind
from certifair.spec.policy import Policy, Property
from certifair.spec.ranges import Range
from certifair.spec.toml_reader import nearest

Floats = NDArray[np.float64]


def ranges_of(item: Property, policy: Policy, inputs: Inputs | None, where: str = "policy") -> tuple[Range, ...]:
    """What each input may be (certificates/README.md 9.11). Raises PolicyError for a range that is not declared."""
    declared = {found.column: found for found in policy.domain}
    if inputs is None:
        found = list(policy.domain)
    else:
        found = [
            Range(column.column, "category", values=column.values)
            if column.kind == "category"
            else declared.get(column.column, Range(column.column, "number"))
            for column in inputs.items
        ]
    columns = [one.column for one in found]
    known = {*columns, *policy.data.sensitive_features, *policy.data.values}
    for name in item.sensitive_features:
        if name not in known:
            what = f"property {item.id!r} speaks of {name!r}, which is neither an input nor a feature of [data]"
            raise PolicyError(what, where=where, advice=nearest(name, known))
    for name, _ in item.relaxed:
        if name not in columns:
            what = f"property {item.id!r} relaxes {name!r}, which is no input"
            raise PolicyError(what, where=where, advice=nearest(name, columns))
    relaxed = dict(item.relaxed)
    found = [replace(one, eps=relaxed.get(one.column, Fraction(0))) for one in found]
    for one in found:
        _check(item, one, where)
    return tuple(found)


def _check(item: Property, one: Range, where: str) -> None:
    free = one.column in item.sensitive_features or bool(one.eps)
    if one.kind == "number" and (free or item.form in ("domain", "lipschitz")):
        example = f'{one.column} = {{ kind = "integer", low = 0, high = 9 }}'
        what = f"property {item.id!r} needs the range of {one.column!r}"
        raise PolicyError(what, where=where, advice=f"write under [domain]: {example}")
    if one.eps and one.kind == "category":
        raise PolicyError(f"property {item.id!r} relaxes {one.column!r}, which is a category", where=where)
    if one.eps and one.kind == "integer" and one.eps.denominator != 1:
        raise PolicyError(f"property {item.id!r} relaxes the integer {one.column!r} by a fraction", where=where)


def domain_of(ranges: Sequence[Range], sensitive: Sequence[str], rows: Floats | None) -> Domain | None:
    """The domain of these ranges; None if nothing in it may change. Numbers without a range have that of `rows`."""
    features: list[Feature] = []
    start = 0
    for one in ranges:
        width = len(one.values) if one.kind == "category" else 1
        seen = None if rows is None or not len(rows) else rows[:, start]
        features.append(_feature(one, one.column in sensitive, seen))
        start += width
    if not any(feature.sensitive or feature.eps for feature in features):
        return None
    return Domain("inputs", tuple(features))


def box_of(features: Sequence[Feature]) -> tuple[Floats, Floats]:
    """The least and the largest value of every input of a network with these features."""
    pairs = [(feature.low, feature.high) for feature in features for _ in range(feature.width)]
    low, high = np.array(pairs, dtype=np.float64).T
    return low.copy(), high.copy()


def units_of(features: Sequence[Feature]) -> Floats:
    """The length of every input's range, as the nearest float64; 1 where there is but one value."""
    low, high = box_of(features)
    return np.where(high > low, high - low, 1.0)


def place_of(features: Sequence[Feature], method: str) -> tuple[tuple[Floats, Floats] | None, Floats | None]:
    """(where inputs are, None for anywhere; the unit of each, None for 1), for `everywhere`, `domain`, or `ranges`."""
    if method == "everywhere":
        return None, None
    return box_of(features), units_of(features) if method == "ranges" else None


def features_of(ranges: Sequence[Range]) -> tuple[Feature, ...]:
    """The features of ranges that are declared, for claims that nobody's inputs matter to."""
    return tuple(_feature(one, False, None) for one in ranges)


def _feature(one: Range, sensitive: bool, seen: NDArray[np.float64] | None) -> Feature:
    if one.kind == "category":
        return Feature(one.column, "one_hot", values=one.values, sensitive=sensitive)
    if one.low is None or one.high is None:
        low, high = (0.0, 0.0) if seen is None else (float(seen.min()), float(seen.max()))
        return Feature(one.column, "continuous", low, high)
    kind: Kind = "integer" if one.kind == "integer" else "continuous"
    low, high = outward(one.low, -1), outward(one.high, 1)
    return Feature(one.column, kind, low, high, sensitive=sensitive, eps=outward(one.eps, 1) if one.eps else 0.0)
