"""Thrift's compact protocol, read strictly: what a Parquet file says about itself. Standard library.

Source: the compact protocol of Apache Thrift (doc/specs/thrift-compact-protocol.md). Only what a shape names is
expected; what else is there is passed over and named in `strange`. A value has one form: no padded integers, field
ids that rise, so that no two readers can find different values in the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final

TRUE, FALSE, INT8, INT16, INT32, INT64, DOUBLE, BINARY, LIST, SET, STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12
_BITS: Final = {INT16: 16, INT32: 32, INT64: 64}
_FIXED: Final = {TRUE: 0, FALSE: 0, INT8: 1, DOUBLE: 8}
_DEEPEST: Final = 16


@final
@dataclass(frozen=True)
class Members:
    """A list of values of one kind."""

    kind: Kind


@final
@dataclass(frozen=True)
class Shape:
    """What a struct may hold: {field id: (name, kind)}; `optional`: the names of fields that may be absent."""

    what: str
    fields: Mapping[int, tuple[str, Kind]] = field(default_factory=dict)
    optional: tuple[str, ...] = ()


Kind = int | Members | Shape
"""A number: that type, of which FALSE is the one value of a boolean."""


@final
class Reader:
    """Reads from `at` on, never beyond `end`. Methods raise ValueError for what is not well formed."""

    def __init__(self, content: bytes, at: int, end: int) -> None:
        self._content, self.at, self._end = content, at, end
        self.strange: list[str] = []

    def struct(self, shape: Shape) -> dict[str, Any]:
        """The fields by name. Those that are absent or of another kind are named in `strange`."""
        found: dict[str, Any] = {}
        last = 0
        while True:
            start = self._take(1)[0]
            if start == 0:
                break
            last = self._field_id(start >> 4, last)
            name, kind = shape.fields.get(last, ("", None))
            if kind is None or _code(kind) != start & 15:
                self.strange.append(f"field {last} of its {shape.what}")
                self._skip(start & 15, 0)
            else:
                found[name] = self._value(kind)
        for name, _ in shape.fields.values():
            if name not in found and name not in shape.optional:
                self.strange.append(f"no {name} in its {shape.what}")
        return found

    def _value(self, kind: Kind) -> Any:
        if isinstance(kind, Shape):
            return self.struct(kind)
        if isinstance(kind, Members):
            code, size = self._list()
            if code != _code(kind.kind):
                self.strange.append("a list of something else")
                for _ in range(size):
                    self._skip_member(code, 0)
                return []
            return [self._value(kind.kind) for _ in range(size)]
        if kind == FALSE:
            return False
        return self._take(self._unsigned()) if kind == BINARY else self._integer(_BITS[kind])

    def _take(self, size: int) -> bytes:
        if size > self._end - self.at:
            raise ValueError("it ends within its description")
        self.at += size
        return self._content[self.at - size : self.at]

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                if (byte == 0 and shift) or value >= 2**64:
                    raise ValueError("an integer is padded or too long")
                return value
            shift += 7
            if shift > 63:
                raise ValueError("an integer is padded or too long")

    def _integer(self, bits: int) -> int:
        code = self._unsigned()
        if code >> bits:
            raise ValueError("an integer is too long for its type")
        return (code >> 1) ^ -(code & 1)

    def _field_id(self, step: int, last: int) -> int:
        number = last + step if step else self._integer(16)
        if number <= last or (not step and number - last < 16):
            raise ValueError("field ids do not rise, or are not written in the short form")
        return number

    def _list(self) -> tuple[int, int]:
        start = self._take(1)[0]
        size = start >> 4
        if size == 15:
            size = self._unsigned()
            if size < 15:
                raise ValueError("the length of a list is padded")
        return start & 15, size

    def _skip(self, code: int, depth: int) -> None:
        if depth > _DEEPEST:
            raise ValueError("its description is nested too deeply")
        if code in _FIXED:
            self._take(_FIXED[code])
        elif code in _BITS:
            self._unsigned()
        elif code == BINARY:
            self._take(self._unsigned())
        elif code in (LIST, SET):
            member, size = self._list()
            for _ in range(size):
                self._skip_member(member, depth + 1)
        elif code == STRUCT:
            last = 0
            while start := self._take(1)[0]:
                last = self._field_id(start >> 4, last)
                self._skip(start & 15, depth + 1)
        else:
            raise ValueError(f"its description has a value of type {code}")

    def _skip_member(self, code: int, depth: int) -> None:
        if code in (TRUE, FALSE):  # a byte each, in a list
            self._take(1)
        else:
            self._skip(code, depth)


def _code(kind: Kind) -> int:
    if isinstance(kind, Shape):
        return STRUCT
    return LIST if isinstance(kind, Members) else kind
