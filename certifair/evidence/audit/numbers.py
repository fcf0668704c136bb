"""A part of a log as one lazy table: keys as they stand, measures as float64, and what is wrong with a row."""

from __future__ import annotations

import math
import sys
from datetime import date
from typing import Any, Final

import narwhals as nw

from certifair.evidence.audit.engines.base import Engine
from certifair.evidence.audit.mapping import Bound
from certifair.evidence.audit.parts import Part
from certifair.spec.groups import MISSING

NUMBER: Final = r"\A[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?\z"
"""Texts that are numbers; every engine reads them as the nearest float64. Engines differ about others (`1_0`, `1d`)."""
REASONS: Final = ("is missing", "is no number", "is not finite")


def key_names(part: Part) -> list[str]:
    """The columns of the keys."""
    return [f"k{i}" for i in range(len(part.keys))]


def seconds(part: Part) -> list[Bound]:
    """The places that must be empty because only the first record of a list is read, each once."""
    found = (bound.second() for bound in (*part.measures, *part.keys))
    return list(dict.fromkeys(bound for bound in found if bound is not None))


def numbers_of(engine: Engine, part: Part) -> nw.LazyFrame[Any]:
    """Columns k0, … (keys), m0, … (measures as they stand), x0, … (as float64, null where that cannot be).

    And s0, …: 1 where a second record lies that would not be read, else 0.
    """
    chosen = {f"k{i}": bound for i, bound in enumerate(part.keys)}
    chosen |= {f"m{j}": bound for j, bound in enumerate(part.measures)}
    chosen |= {f"second{j}": bound for j, bound in enumerate(seconds(part))}
    opened = engine.open(part.files, part.columns) if part.table is None else engine.open_table(part.table)
    frame = engine.select(opened, chosen)
    numbers = [_number(f"m{j}", bound.kind).alias(f"x{j}") for j, bound in enumerate(part.measures)]
    return frame.with_columns(
        *numbers, *(flag(~nw.col(f"second{j}").is_null()).alias(f"s{j}") for j in range(len(seconds(part))))
    )


def with_reasons(frame: nw.LazyFrame[Any], part: Part) -> nw.LazyFrame[Any]:
    """A column `why`: −1, or 3·measure + the index in REASONS of the first reason against the row."""
    why = nw.lit(-1)
    for j, bound in reversed(list(enumerate(part.measures))):
        raw, x = nw.col(f"m{j}"), nw.col(f"x{j}")
        why = nw.when(x.abs() <= nw.lit(sys.float_info.max)).then(why).otherwise(nw.lit(3 * j + 2))
        if bound.kind == "text":
            why = nw.when(raw.str.contains(NUMBER)).then(why).otherwise(nw.lit(3 * j + 1))
            why = nw.when(raw == nw.lit("")).then(nw.lit(3 * j)).otherwise(why)
        why = nw.when(raw.is_null()).then(nw.lit(3 * j)).otherwise(why)
    return frame.with_columns(why.alias("why"))


def flag(condition: nw.Expr) -> nw.Expr:
    """1 where it is true, else 0."""
    return nw.when(condition).then(nw.lit(1)).otherwise(nw.lit(0))


def _number(name: str, kind: str) -> nw.Expr:
    raw = nw.col(name)
    if kind == "text":
        return nw.when(raw.str.contains(NUMBER)).then(raw).otherwise(nw.lit(None)).cast(nw.Float64)
    if kind == "decimal":  # an engine may divide two rounded numbers; through its digits it is rounded once
        return raw.cast(nw.String).cast(nw.Float64)
    if kind == "bool":
        return raw.cast(nw.Int64).cast(nw.Float64)
    return raw.cast(nw.Float64)


def category(value: Any) -> str | None:
    """A key's value as `tables.texts` writes it; None for a fraction."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if math.isnan(value):
            return MISSING
        return str(int(value)) if value.is_integer() else None
    if isinstance(value, date):
        return value.isoformat()
    return MISSING if value is None or value == "" else str(value)
