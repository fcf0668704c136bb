"""One batch of people: checked, packed for SQLite, and unpacked into the columns of a segment."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.evidence.log.chain import MAX_RECORDS
from certifair.evidence.log.header import FLOAT64, Header
from certifair.spec.toml_reader import nearest

if TYPE_CHECKING:
    import pyarrow as pa

MAX_BYTES: Final = 1 << 28
"""Bytes of the texts of one batch."""
_INT64: Final = 2**63


@final
@dataclass(frozen=True, eq=False)
class Batch:
    """The people who were served together, one entry each, in order.

    `features`: by name, one text for everybody; exactly the features of the header. `scores`, `predictions`: finite
    numbers. `columns`: the one value that the batch has in each of the header's further columns (`step`, `eta`,
    `multiplier.ROW`), exactly those.
    """

    row_ids: Sequence[str]
    features: Mapping[str, Sequence[str]]
    scores: Sequence[float] | NDArray[Any]
    predictions: Sequence[float] | NDArray[Any]
    columns: Mapping[str, int | float] = field(default_factory=dict)


@final
class Packed(NamedTuple):
    """A batch as SQLite holds it: person after person, so that many of them unpack as one.

    `lengths`: of each person's texts in UTF-8 (uint32, little-endian); `texts`: row_id, then features; `numbers`: score
    and prediction; `shared`: the values of `columns` in the header's order (numbers: 8 bytes each, little-endian).
    """

    records: int
    lengths: bytes
    texts: bytes
    numbers: bytes
    shared: bytes


@final
class Stored(NamedTuple):
    """A packed batch with its number and time (microseconds since 1970)."""

    number: int
    time: int
    packed: Packed


@final
class Codec:
    """Packs and unpacks the batches of one log."""

    def __init__(self, header: Header, where: str) -> None:
        self._header, self._where = header, where
        self._features = header.features
        self._shared = struct.Struct("<" + "".join("d" if kind == FLOAT64 else "q" for _, kind in header.shared))

    def pack(self, batch: Batch) -> Packed:
        """Raises InputError for a batch that cannot be logged; nothing is written."""
        records = len(batch.row_ids)
        if not 0 < records <= MAX_RECORDS:
            raise self._error(f"has {records} people", f"a batch has 1 to {MAX_RECORDS}")
        self._same_names("feature", batch.features, self._features)
        columns = [batch.row_ids, *(batch.features[name] for name in self._features)]
        for name, column in zip(("row_id", *self._features), columns, strict=True):
            if len(column) != records:
                raise self._error(f"has {len(column)} values of {name!r} for {records} people")
        lengths, texts = self._texts(columns)
        numbers = np.empty((records, 2), dtype="<f8")
        numbers[:, 0] = self._numbers("score", batch.scores, records)
        numbers[:, 1] = self._numbers("prediction", batch.predictions, records)
        return Packed(records, lengths, texts, numbers.tobytes(), self._shared_values(batch.columns))

    def table(self, first: int, batches: Iterable[Stored]) -> pa.Table:
        """The records of these batches, the first with seq `first`; columns and order of the header."""
        import pyarrow as pa

        stored = list(batches)
        counts = np.array([batch.packed.records for batch in stored], dtype=np.int64)
        total = int(counts.sum())
        arrays: list[Any] = [
            np.arange(first, first + total, dtype=np.int64),
            np.repeat(np.array([batch.number for batch in stored], dtype=np.int64), counts),
            np.repeat(np.array([batch.time for batch in stored], dtype=np.int64), counts),
            *_unpack_texts([batch.packed for batch in stored], 1 + len(self._features)),
        ]
        numbers = np.frombuffer(b"".join(batch.packed.numbers for batch in stored), dtype="<f8").reshape(-1, 2)
        arrays += [numbers[:, 0], numbers[:, 1]]
        kind = np.dtype([(name, "<f8" if kind == FLOAT64 else "<i8") for name, kind in self._header.shared])
        if kind.names:
            shared = np.frombuffer(b"".join(batch.packed.shared for batch in stored), dtype=kind)
            arrays += [np.repeat(shared[name], counts) for name in kind.names]
        columns = [_arrow(array) if isinstance(array, np.ndarray) else array for array in arrays]
        return pa.Table.from_arrays(columns, schema=schema_of(self._header))

    # ------------------------------------------------------------------------------------------------------- checks
    def _error(self, what: str, advice: str = "") -> InputError:
        return InputError(f"the batch {what}", where=self._where, advice=advice)

    def _same_names(self, kind: str, given: Mapping[str, Any], wanted: Sequence[str]) -> None:
        for name in given:
            if name not in wanted:
                raise self._error(f"has the {kind} {name!r}, which the log's header does not", nearest(name, wanted))
        for name in wanted:
            if name not in given:
                raise self._error(f"lacks the {kind} {name!r}, which the log's header declares")

    def _texts(self, columns: Sequence[Sequence[str]]) -> tuple[bytes, bytes]:
        """Lengths and bytes, person after person."""
        flat = [text for person in zip(*columns, strict=True) for text in person]
        try:
            joined = "".join(flat)
            texts = joined.encode()
        except TypeError:
            wrong = next(text for text in flat if not isinstance(text, str))
            raise self._error(f"has the {type(wrong).__name__} {wrong!r} where a text belongs") from None
        except UnicodeEncodeError as error:
            raise self._error(f"has a text with a lone surrogate ({error.object[error.start]!r})") from None
        if len(texts) > MAX_BYTES:
            raise self._error(f"has texts of more than {MAX_BYTES} bytes")
        # One character, one byte: nearly always.
        sizes = map(len, flat) if len(texts) == len(joined) else (len(text.encode()) for text in flat)
        return struct.pack(f"<{len(flat)}I", *sizes), texts

    def _numbers(self, name: str, given: Sequence[float] | NDArray[Any], records: int) -> NDArray[np.float64]:
        values = np.asarray(given)
        if values.shape != (records,):
            raise self._error(f"has {name}s of shape {values.shape} for {records} people")
        if values.dtype.kind not in "fiu":
            raise self._error(f"has {name}s of type {values.dtype}, not numbers")
        wide = values.astype(np.float64)
        if not np.isfinite(wide).all():
            raise self._error(f"has a {name} that is not finite (person {int(np.argmin(np.isfinite(wide))) + 1})")
        return wide

    def _shared_values(self, given: Mapping[str, int | float]) -> bytes:
        shared = self._header.shared
        self._same_names("column", given, [name for name, _ in shared])
        for name, kind in shared:
            value = given[name]
            if isinstance(value, np.generic):
                value = value.item()
            whole = isinstance(value, int) and not isinstance(value, bool)
            if kind == FLOAT64 and not (whole or (isinstance(value, float) and math.isfinite(value))):
                raise self._error(f"has {value!r} in {name!r}, not a finite number")
            if kind != FLOAT64 and not (whole and -_INT64 <= value < _INT64):
                raise self._error(f"has {value!r} in {name!r}, not an integer of 64 bits")
        try:
            return self._shared.pack(*(given[name] for name, _ in shared))
        except (struct.error, OverflowError):
            raise self._error("has a number that float64 cannot hold") from None


def schema_of(header: Header) -> pa.Schema:
    """The columns as Arrow has them: plain, and never null."""
    import pyarrow as pa

    kinds = {"int64": pa.int64(), "float64": pa.float64(), "text": pa.string()}
    return pa.schema([pa.field(name, kinds[kind], nullable=False) for name, kind in header.columns])


def _unpack_texts(batches: Sequence[Packed], columns: int) -> list[pa.Array]:
    """The text columns of all people: one Arrow array over everything, of which each column is every so many-th."""
    import pyarrow as pa

    lengths = np.frombuffer(b"".join(batch.lengths for batch in batches), dtype="<u4")
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    texts = pa.py_buffer(b"".join(batch.texts for batch in batches))
    flat = pa.LargeStringArray.from_buffers(len(lengths), pa.py_buffer(offsets), texts)
    return [flat.take(_arrow(np.arange(column, len(lengths), columns))).cast(pa.string()) for column in range(columns)]


def _arrow(values: NDArray[Any]) -> pa.Array:
    """Without a look at what pandas would make of them: Arrow imports it for that, which takes a second."""
    import pyarrow as pa

    kind = pa.float64() if values.dtype.kind == "f" else pa.int64()
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])
