"""Which column says what: names, fields of structs, and places in JSON texts, bound to the columns of a file.

An expression is `COLUMN`, `COLUMN.FIELD.FIELD` (a struct; in JSONL an object) or `COLUMN:$PATH` (a text that holds
JSON; in JSONL an object or a list will do, too). `$PATH` is `$` followed by `.name`, `['any name']` and `[3]`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from certifair.errors import InputError
from certifair.spec.toml_reader import nearest

if TYPE_CHECKING:
    import pyarrow as pa

Path = tuple[str | int, ...]
OWN = ("seq", "batch", "time", "row_id", "score", "prediction")
"""The columns by which a file is known as a segment of a log (certificates/README.md 12.1)."""
FEATURE = "feature."
_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_\-]*)|\['([^'\"\\*?\[\]\x00-\x1f]+)'\]|\[([0-9]{1,9})\]")
_PATH = re.compile(f"\\$(?:{_STEP.pattern})+")
_KEY = re.compile(r"[^'\"\\*?\[\]\x00-\x1f]+")


@final
@dataclass(frozen=True)
class Mapping:
    """What the audit reads: expressions as the user wrote them; `columns` are sensitive features and conditions.

    `score`: None where nobody asks for it.
    """

    prediction: str
    score: str | None
    columns: tuple[tuple[str, str], ...]

    @property
    def measures(self) -> tuple[tuple[str, str], ...]:
        """(name, expression) of every column that is added up."""
        scores = () if self.score is None else (("score", self.score),)
        return (("prediction", self.prediction), *scores)


@final
@dataclass(frozen=True)
class Bound:
    """An expression in a file: a column, fields inside it, then paths into JSON texts, one after the other.

    `kind` is what comes out: text, float, int, bool, decimal or date.
    """

    column: str
    fields: tuple[str, ...]
    paths: tuple[Path, ...]
    kind: str

    def second(self) -> Bound | None:
        """The place where a second record would lie, if this reads the first of a list: it must be empty."""
        for at, path in enumerate(self.paths):
            for step, item in enumerate(path):
                if isinstance(item, int):
                    return (
                        Bound(self.column, self.fields, (*self.paths[:at], (*path[:step], 1)), "text")
                        if not item
                        else None
                    )
        return None


def distinct(names: Sequence[str], where: str) -> None:
    """Raise InputError for two names that engines may take for one: they look columns up without regard to case."""
    seen: dict[str, str] = {}
    for name in names:
        # upper first: Java takes a dotless i for I; and it takes a dotted I for i
        first = seen.setdefault(name.replace("\u0130", "i").upper().casefold(), name)
        if names.count(first) > 1:
            raise InputError(f"has two columns {first!r}", where=where, advice="rename one")
        if first != name:
            what = f"has columns {first!r} and {name!r}, which engines take for one"
            raise InputError(what, where=where, advice="rename one")


def parse_path(text: str, where: str) -> Path:
    """The steps of `$PATH`. Raises InputError.

    >>> parse_path("$.predictions[0]", "--prediction")
    ('predictions', 0)
    """
    if not _PATH.fullmatch(text):
        advice = "write $ and then .name, ['any name'] or [3]"
        raise InputError(f"{text!r} is no path into JSON", where=where, advice=advice)
    return tuple(int(step[2]) if step[2] else step[1] or step[0] for step in _STEP.findall(text))


def bind(text: str, schema: pa.Schema, where: str, *, numeric: bool) -> Bound:
    """The expression in a table of that schema. A column of exactly that name comes first. Raises InputError."""
    column, path = _split(text, schema, where)
    base, fields, kind = _column(column, schema, where)
    if path:
        if kind != "text":
            raise InputError(
                f"{column!r} holds {kind}, no JSON text", where=where, advice="write COLUMN.FIELD for structs"
            )
        return Bound(base, fields, (path,), "text")
    allowed = ("text", "float", "int", "bool", "decimal") if numeric else ("text", "float", "int", "bool", "date")
    if kind not in allowed:
        raise InputError(f"{text!r} holds {kind}, not {'numbers' if numeric else 'categories'}", where=where)
    return Bound(base, fields, (), kind)


def bind_json(text: str, keys: Sequence[str], where: str, document: str) -> Bound:
    """The expression in a file of JSON objects; `document` is the column that holds them whole. Raises InputError."""
    column, colon, tail = text.rpartition(":$") if ":$" in text and text not in keys else (text, "", "")
    inner = (parse_path(f"${tail}", where),) if colon else ()
    steps = (column,) if column in keys or column.partition(".")[0] not in keys else tuple(column.split("."))
    if steps[0] not in keys:
        raise InputError(f"has no column {column!r}", where=where, advice=nearest(column, keys))
    if not all(_KEY.fullmatch(step) for step in steps):
        raise InputError(
            f"{column!r} cannot be looked up in JSON", where=where, advice="use names without quotes, * and ?"
        )
    return Bound(document, (), (steps, *inner), "text")


def _split(text: str, schema: pa.Schema, where: str) -> tuple[str, Path]:
    if text in schema.names or ":$" not in text:
        return text, ()
    column, _, tail = text.partition(":$")
    return column, parse_path(f"${tail}", where)


def _column(name: str, schema: pa.Schema, where: str) -> tuple[str, tuple[str, ...], str]:
    """(top column, fields, kind)."""
    import pyarrow as pa

    distinct(schema.names, where)
    if name in schema.names:
        return name, (), _kind(schema.field(name).type)
    top, *fields = name.split(".")
    if not fields or schema.names.count(top) != 1:
        raise InputError(f"has no column {name!r}", where=where, advice=nearest(name, schema.names))
    found = schema.field(top).type
    for at, field in enumerate(fields):
        inside = [found.field(i).name for i in range(found.num_fields)] if pa.types.is_struct(found) else []
        distinct(inside, where)
        if field not in inside:
            place = ".".join([top, *fields[:at]])
            raise InputError(f"has no field {field!r} in {place!r}", where=where, advice=nearest(field, inside))
        found = found.field(field).type
    return top, tuple(fields), _kind(found)


def _kind(kind: pa.DataType) -> str:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = {
        "text": lambda k: pa.types.is_string(k) or pa.types.is_large_string(k) or pa.types.is_string_view(k),
        "float": lambda k: k in (pa.float32(), pa.float64()),
        "int": pa.types.is_integer,
        "bool": pa.types.is_boolean,
        "decimal": pa.types.is_decimal128,
        "date": pa.types.is_date32,
    }
    return next((name for name, test in tests.items() if test(kind)), str(kind))
