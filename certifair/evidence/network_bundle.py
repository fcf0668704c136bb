"""The bundle of a network that serves people one by one: no layer, nothing is learned from who comes together.

A person's score is the network's value at her inputs, computed in float64; what is served is the score, clipped to the
policy's box.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from certifair.errors import InputError, PolicyError
from certifair.evidence.files import read_input
from certifair.evidence.ingest import Served, bundle_served
from certifair.evidence.inputs import Input, Inputs
from certifair.evidence.onnx_reader import read_network
from certifair.evidence.rows_file import rows_of
from certifair.evidence.tables import first_row, read_table, texts
from certifair.exact.decimals import outward
from certifair.spec import Json
from certifair.spec.domain import Domain, Feature
from certifair.spec.network import Network
from certifair.spec.policy import Policy
from certifair.spec.toml_reader import nearest
from certifair.spec.values import values

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def bundle_network(
    source: Any,
    policy: str | Path,
    out: str | Path,
    content: bytes,
    domain: Domain,
    kept: Mask | None = None,
    where: str | None = None,
) -> int:
    """Write the bundle `out` of a network, ready for replay; returns the number of people in it.

    source: a table, as `rows_of` reads it, with the columns that the policy names. content: the network's ONNX file; it
    gives one number. kept (rows of the table,): who is certified; None: those of the policy's [data] split and certify,
    everybody where it names none. All others are counted as exclusions. where: what errors call the table; None: its
    path or type.
    Errors: InputError and PolicyError, before anything is written.
    """
    parsed = Policy.parse(read_input(Path(policy)), str(policy))
    table, named = read_table(source, None)
    where = where or named
    encoded = rows_of(table, domain, where).values
    table = _with_categories(table, encoded, domain, where)
    for name in (parsed.data.id, parsed.data.label, parsed.data.split, *parsed.columns()):
        if name is not None and name not in table.column_names:
            raise InputError(f"has no column {name!r}", where=where, advice=nearest(name, table.column_names))
    parts = _parts(parsed, table, where, kept, str(policy))
    scores = scores_of(read_network(content, "the network"), encoded[parts[0]], domain)
    served = served_of(parsed, content, inputs_of(domain), parts, scores)
    return bundle_served(table, policy, out, served)


def scores_of(network: Network, rows: Floats, domain: Domain) -> Floats:
    """What a network gives each of these people (n, inputs): (n,).

    Errors: InputError for one that does not take the domain's inputs, or does not give one finite number to each.
    """
    check_widths(network, domain, "the network")
    scores = values(network, rows)[:, 0]
    if (row := first_row(~np.isfinite(scores))) is not None:
        raise InputError(f"gives no finite number to the person {row} of those served", where="the network")
    return scores


def check_widths(network: Network, domain: Domain, where: str) -> None:
    """Errors: InputError for a network that does not take the domain's inputs, or gives more than one number."""
    if (network.inputs, network.outputs) != (domain.inputs, 1):
        what = f"takes {network.inputs} inputs and gives {network.outputs} outputs"
        raise InputError(what, where=where, advice=f"{domain.name} has {domain.inputs} inputs; give one output")


def served_of(
    policy: Policy,
    content: bytes,
    inputs: Inputs,
    parts: tuple[Mask, list[Json]],
    scores: Floats,
    predictions: Floats | None = None,
) -> Served:
    """What is served by the policy, for `bundle_served`: scores (n,), or the predictions (n,) that another made of
    them, clipped to its box, in its batches. parts: who is certified, and what became of the others.
    """
    low, high = (Fraction(0), Fraction(1)) if policy.layer is None else (policy.layer.lower, policy.layer.upper)
    size = policy.serve.batch or len(scores)
    return Served(
        kept=parts[0],
        exclusions=parts[1],
        scores=scores,
        predictions=np.clip(scores if predictions is None else predictions, outward(low, 1), outward(high, -1)),
        batches=np.arange(len(scores)) // size,
        multipliers=None,
        model=content,
        inputs=inputs,
    )


def inputs_of(domain: Domain) -> Inputs:
    """How a person's columns become the inputs of a network of this domain."""
    return Inputs(tuple(_input(feature) for feature in domain.features))


def _input(feature: Feature) -> Input:
    return Input(feature.name, "category" if feature.kind == "one_hot" else "number", feature.values)


def _parts(policy: Policy, table: pa.Table, where: str, kept: Mask | None, named: str) -> tuple[Mask, list[Json]]:
    """(who is certified, what became of the others)."""
    split = policy.data.split
    if split is None:
        if kept is None and policy.data.fractions:
            advice = "name the column that holds each row's part"
            raise PolicyError("draws a split, which belongs to `certifair train`", where=named, advice=advice)
        kept = np.ones(table.num_rows, dtype=np.bool_) if kept is None else kept
        part = np.full(table.num_rows, "not among the people chosen")
    else:
        column = texts(table[split], split, where).cast(pa.string())
        if (row := first_row(column.is_null())) is not None:
            raise InputError(f"{split!r} is missing in row {row}", where=where)
        part = np.array([f"{split} = {name}" for name in column.to_pylist()])
        kept = np.isin(part, [f"{split} = {name}" for name in policy.data.certify]) if kept is None else kept
    if kept.shape != (table.num_rows,) or not kept.any():
        raise InputError("nobody is left to be certified", where=where)
    names, counts = np.unique(part[~kept], return_counts=True)
    return kept, [{"reason": str(name), "count": int(count)} for name, count in zip(names, counts, strict=True)]


def _with_categories(table: pa.Table, encoded: Floats, domain: Domain, where: str) -> pa.Table:
    """The table, with the column of each category that it has as zeros and ones only."""
    for feature, columns in zip(domain.features, domain.columns, strict=True):
        if feature.kind != "one_hot" or feature.name in table.column_names:
            continue
        hot = encoded[:, list(columns)]
        if (row := first_row(~_one_hot(hot))) is not None:
            what = f"the columns of {feature.name!r} are not one 1 and zeros in row {row}"
            raise InputError(what, where=where, advice=f"give a column {feature.name!r} with its value")
        table = table.append_column(feature.name, pa.array(np.array(feature.values)[hot.argmax(axis=1)]))
    return table


def _one_hot(hot: Floats) -> Mask:
    """(n,)."""
    found: Mask = ((hot == 1).sum(axis=1) == 1) & ((hot == 0).sum(axis=1) == hot.shape[1] - 1)
    return found
