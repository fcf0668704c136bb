"""What `repair` is given: checked before the work, and read once, so that all it says is about the same bytes."""

from __future__ import annotations

import argparse
import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np

from certifair.cli.options import check_out
from certifair.errors import InputError
from certifair.evidence.files import read_input, require_new, require_writable
from certifair.evidence.onnx_reader import read_network
from certifair.evidence.rows_file import rows_of
from certifair.evidence.tables import first_row, numbers, read_table
from certifair.individual import decision_of
from certifair.individual.arguments import seconds_of, whole_of
from certifair.spec.domain_file import load_domain, with_sensitive
from certifair.spec.toml_reader import nearest

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from certifair.spec.domain import Domain
    from certifair.spec.network import Network

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]


@final
@dataclass(frozen=True, eq=False)
class Given:
    """model: the file's bytes; network: what these say. table: all people; kept (people,): for whom it is repaired.

    rows (n, inputs) and labels (n,) of those; the column `label` has the labels of all. label, labels: None where
    neither the command nor the domain names a column that is there.
    """

    model: bytes
    network: Network
    domain: Domain
    table: pa.Table
    label: str | None
    kept: Mask
    rows: Array
    labels: Array | None


def given(args: argparse.Namespace) -> Given:
    """Errors: InputError for files that cannot be used, or not together."""
    file = load_domain(args.domain)
    domain = with_sensitive(file.domain, args.sensitive) if args.sensitive else file.domain
    model = read_input(args.model)
    network = read_network(model, str(args.model))
    decision_of(network, where=str(args.model))
    table, where = read_table(args.rows, None)
    rows = rows_of(table, domain, where).values
    label, labels = _labels(args.label, file.label, table, where)
    kept = _chosen(len(rows), args.choose, args.seed)
    labels = None if labels is None else labels[kept]
    return Given(model, network, domain, table, label, kept, rows[kept], labels)


def check(args: argparse.Namespace) -> None:
    """All that can be known to be wrong before anything is read. Raises InputError."""
    seconds_of(args.time, "--time")
    seconds_of(args.rows_time, "--rows-time")
    seconds_of(args.domain_time, "--domain-time", none=True)
    whole_of(args.seed, "--seed")
    if args.choose is not None:
        whole_of(args.choose, "--choose", least=1)
    if args.groups is not None and args.bundles is None:
        raise InputError("is for evidence, which needs --bundles", where="--groups")
    for name in ("key", "now"):
        missing = "--bundles" if args.bundles is None else "--key"
        if getattr(args, name) is not None and (args.bundles is None or args.key is None):
            raise InputError(f"is for certificates, which need {missing}", where=f"--{name}")
    _check_places(args)


def _check_places(args: argparse.Namespace) -> None:
    """Whether all that is to be written can be, each in a place of its own."""
    places = {"--out": args.out, "--json": args.json, "--bundles": args.bundles}
    outs: dict[str, Path] = {option: path for option, path in places.items() if path is not None}
    real = {option: Path(os.path.realpath(path)) for option, path in outs.items()}
    for one, two in itertools.permutations(outs, 2):
        if real[one] == real[two] or real[one] in real[two].parents:
            how = "is" if real[one] == real[two] else "is inside"
            raise InputError(f"{how} the path of {one}", where=f"{two} {outs[two]}", advice="choose another one")
    for option, path in outs.items():
        check_out(path, *filter(None, (args.model, args.domain, args.rows, args.key)))
        if option == "--bundles":
            require_new(path, option)
        else:
            require_writable(path)


def _labels(named: str | None, known: str | None, table: pa.Table, where: str) -> tuple[str | None, Array | None]:
    """The column of the right decisions, and these. named: by the command; known: by the domain."""
    column = named or known
    if column is None or (named is None and column not in table.column_names):
        return None, None
    if column not in table.column_names:
        raise InputError(f"has no column {column!r}", where=where, advice=nearest(column, table.column_names))
    found = numbers(table[column], column, where)
    if (row := first_row(~np.isin(found, (0.0, 1.0)))) is not None:
        what = f"{column!r} is {found[row - 1]:g} in row {row}, not 0 or 1"
        raise InputError(what, where=where, advice="a label is the right decision: 1 is the positive one")
    return column, found


def _chosen(n: int, count: int | None, seed: int) -> Mask:
    """Which rows are repaired for (n,)."""
    if count is None:
        return np.ones(n, dtype=np.bool_)
    if count > n:
        raise InputError(f"= {count}, but there are {n} rows", where="--choose")
    return np.isin(np.arange(n), np.random.default_rng(seed).choice(n, count, replace=False))
