"""Reading a domain from TOML.

name = "adult"                    # rows = "adult.csv", label = "income", and [compare] may stand beside it
sensitive = ["sex"]
relaxed = { hours = 2 }           # may move by ±2

[[feature]]                       # in the order of the network's inputs
name = "hours"
kind = "integer"                  # low, high: every whole number between; "continuous": every number
low = 1
high = 100

[[feature]]
name = "sex"
kind = "one_hot"                  # one input for each value
values = ["f", "m"]
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import final

from certifair.errors import InputError, PolicyError
from certifair.exact.decimals import outward
from certifair.spec import toml_reader as read
from certifair.spec.comparison import Comparison, comparison
from certifair.spec.domain import KINDS, Domain, Feature, Kind
from certifair.spec.toml_reader import Table, nearest


@final
@dataclass(frozen=True)
class DomainFile:
    """A domain, and the table of rows that the file names, if any; and how methods are compared on it."""

    domain: Domain
    rows: str | None
    label: str | None
    comparison: Comparison


def read_domain(content: bytes, where: str) -> DomainFile:
    """The domain that a TOML file describes. Errors: PolicyError naming the key.

    The ends of a continuous range are rounded outwards to floats, so that nothing that was meant is left out.
    """
    try:
        document = tomllib.loads(content.decode(), parse_float=Decimal)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise PolicyError(f"is no TOML: {error}", where=where) from None
    table = Table(document, where)
    name = table.take("name", read.text, "domain")
    rows, label = (table.take(key, read.optional_text, None) for key in ("rows", "label"))
    sensitive = table.take("sensitive", read.texts)
    relaxed = dict(table.table("relaxed").items())
    asked = comparison(table.table("compare"))
    features = tuple(_feature(item) for item in table.tables("feature"))
    table.finish()
    names = [feature.name for feature in features]
    for key, listed in (("sensitive", sensitive), ("relaxed", tuple(relaxed))):
        for unknown in (item for item in listed if item not in names):
            raise table.error(key, f"names {unknown!r}, which is no feature", nearest(unknown, names))
    try:
        domain = Domain(name, tuple(_marked(f, sensitive, relaxed, table) for f in features))
    except ValueError as error:
        raise PolicyError(str(error), where=where) from None
    return DomainFile(domain, rows, label, asked)


def load_domain(path: Path) -> DomainFile:
    """As `read_domain`, from a file. Errors: InputError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=str(path)) from None
    return read_domain(content, str(path))


def with_sensitive(domain: Domain, names: Sequence[str]) -> Domain:
    """The same domain with other sensitive features. Errors: InputError for a name that is no feature."""
    known = [feature.name for feature in domain.features]
    for unknown in (name for name in names if name not in known):
        raise InputError(f"{unknown!r} is no feature of the domain", where=domain.name, advice=nearest(unknown, known))
    try:
        features = tuple(dataclasses.replace(f, sensitive=f.name in names) for f in domain.features)
        return Domain(domain.name, features)
    except ValueError as error:
        raise InputError(str(error), where=domain.name) from None


def with_relaxed(domain: Domain, name: str, eps: str) -> Domain:
    """The same domain with one more relaxed feature. Errors: InputError."""
    known = [feature.name for feature in domain.features]
    if name not in known:
        raise InputError(f"{name!r} is no feature of the domain", where=domain.name, advice=nearest(name, known))
    try:
        width = outward(read.positive(eps), 1)
        features = tuple(dataclasses.replace(f, eps=width) if f.name == name else f for f in domain.features)
        return Domain(domain.name, features)
    except ValueError as error:
        raise InputError(f"±{eps} of {name}: {error}", where=domain.name) from None


def _feature(table: Table) -> Feature:
    name, kind = table.take("name", read.text), table.take("kind", read.one_of(*KINDS))
    assert kind in KINDS
    known: Kind = next(item for item in KINDS if item == kind)
    try:
        if known == "one_hot":
            found = Feature(name, known, values=table.take("values", read.group_values))
        else:
            low, high = table.take("low", read.decimal), table.take("high", read.decimal)
            found = Feature(name, known, outward(low, -1), outward(high, 1))
    except ValueError as error:
        raise PolicyError(f"{name}: {error}", where=table.where) from None
    table.finish()
    return found


def _marked(feature: Feature, sensitive: Sequence[str], relaxed: dict[str, object], table: Table) -> Feature:
    if feature.name in relaxed:
        eps = Table({feature.name: relaxed[feature.name]}, f"{table.where}[relaxed]").take(feature.name, read.positive)
    else:
        eps = Fraction(0)
    try:
        return dataclasses.replace(feature, eps=outward(eps, 1), sensitive=feature.name in sensitive)
    except ValueError as error:
        raise ValueError(f"{feature.name}: {error}") from None
