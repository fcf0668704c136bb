"""The header of a log: what its records are about, and what their columns mean. Standard library at import."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from certifair.errors import InputError
from certifair.spec import Json

FORMAT: Final = "certifair-log/0"
LIMIT: Final = 1 << 20
"""Bytes of a header."""
INT64, FLOAT64, TEXT = "int64", "float64", "text"
TYPES: Final = (INT64, FLOAT64, TEXT)
FEATURE: Final = "feature."
MULTIPLIER: Final = "multiplier."
Columns = tuple[tuple[str, str], ...]
"""Names and types, in order."""
_HEAD: Final[Columns] = (("seq", INT64), ("batch", INT64), ("time", INT64), ("row_id", TEXT))
_SERVED: Final[Columns] = (("score", FLOAT64), ("prediction", FLOAT64))
_STEP: Final[Columns] = (("step", INT64), ("eta", FLOAT64))
_MEMBERS: Final = {"format", "id", "system", "algorithm", "columns"}
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_ALGORITHMS: Final = ("paper", "pooled")


def columns_of(features: Sequence[str], rows: Sequence[str] | None = None) -> Columns:
    """The columns of a log (12.1). `features`: the sensitive features, then the condition, if any, each once.

    `rows`: the names of the metric's rows (9.2) for the algorithm `paper`; None for any other, which logs none.
    """
    stepped = () if rows is None else (*_STEP, *((MULTIPLIER + row, FLOAT64) for row in rows))
    return (*_HEAD, *((FEATURE + name, TEXT) for name in features), *_SERVED, *stepped)


@final
@dataclass(frozen=True)
class Header:
    """What a log says of itself (12.1). Raises InputError if it is no header.

    `id`: no two logs share one. `system`: the SHA-256 of system.json in hexadecimal, or None. `algorithm`: the
    object of 12.4, or None; it is carried, not checked. `columns`: see `columns_of`.
    """

    id: str
    system: str | None
    algorithm: Json | None
    columns: Columns

    def __post_init__(self) -> None:
        name: Any = self.id  # of any type, where it comes from JSON
        if not isinstance(name, str) or not name:
            raise InputError("has no id", where="log header", advice="give a text that no other log has")
        system: Any = self.system
        if system is not None and not (isinstance(system, str) and _DIGEST.fullmatch(system)):
            raise InputError("names a system by something else than its SHA-256", where="log header")
        if self.algorithm is not None and self._algorithm_name() not in _ALGORITHMS:
            raise InputError(f"has an unknown algorithm, not {' or '.join(_ALGORITHMS)}", where="log header")
        self._check_columns()

    def _algorithm_name(self) -> Any:
        return self.algorithm.get("name") if isinstance(self.algorithm, dict) else None

    def _check_columns(self) -> None:
        """They are what `columns_of` makes of the features and rows that they name."""
        names = [name for name, _ in self.columns]
        if len({name.casefold() for name in names}) != len(names):  # many readers know no upper and lower case
            raise InputError("has two columns of one name, upper and lower case being the same", where="log header")
        features = [name.removeprefix(FEATURE) for name in names if name.startswith(FEATURE)]
        rows = [name.removeprefix(MULTIPLIER) for name in names if name.startswith(MULTIPLIER)]
        stepped = self._algorithm_name() == "paper"
        if self.columns != columns_of(features, rows if stepped else None):
            raise InputError("has other columns, or in another order, than a log has", where="log header")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(name for name, _ in self.columns)

    @property
    def features(self) -> tuple[str, ...]:
        """The sensitive features and the condition, without prefix."""
        return tuple(name.removeprefix(FEATURE) for name in self.names if name.startswith(FEATURE))

    @property
    def shared(self) -> Columns:
        """The columns in which all people of a batch have one value."""
        return self.columns[len(_HEAD) + len(self.features) + len(_SERVED) :]

    def to_bytes(self) -> bytes:
        """The RFC 8785 form: what link 0 is the hash of. Raises InputError if there is none or it is too long."""
        from certifair.evidence.canonical import canonical

        value = {
            "format": FORMAT,
            "id": self.id,
            "system": self.system,
            "algorithm": self.algorithm,
            "columns": [list(column) for column in self.columns],
        }
        try:
            content = canonical(value)
        except ValueError as error:
            raise InputError(str(error), where="log header") from None
        if len(content) > LIMIT:
            raise InputError(f"is longer than {LIMIT} bytes", where="log header")
        return content

    @staticmethod
    def parse(content: bytes) -> Header:
        """The header that these bytes are, in RFC 8785 form and no other. Raises InputError."""
        from certifair.evidence.canonical import strict_json

        if len(content) > LIMIT:
            raise InputError(f"is longer than {LIMIT} bytes", where="log header")
        try:
            header = Header.of(strict_json(content))
        except ValueError as error:
            raise InputError(str(error), where="log header") from None
        if header.to_bytes() != content:
            raise InputError("is not in RFC 8785 form", where="log header")
        return header

    @staticmethod
    def of(value: Any) -> Header:
        """The header that this JSON value is. Raises InputError."""
        if not isinstance(value, dict) or set(value) != _MEMBERS or value["format"] != FORMAT:
            raise InputError(f"is not a header of {FORMAT}", where="log header")
        columns = value["columns"]
        if not isinstance(columns, list) or not all(_is_column(column) for column in columns):
            raise InputError("has columns that are not pairs of name and type", where="log header")
        return Header(value["id"], value["system"], value["algorithm"], tuple((name, kind) for name, kind in columns))


def _is_column(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(item, str) for item in value)
