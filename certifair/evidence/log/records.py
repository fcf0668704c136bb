"""The bytes of many records at once, and their digests (certificates/README.md 12.2)."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from certifair.evidence.log.chain import root_of
from certifair.evidence.log.header import FEATURE

_BLOCK_BYTES: Final = 1 << 20
"""Records are laid out in blocks of about so many bytes, which stay in the cache."""


def segment_root(table: pa.Table) -> bytes:
    """The Merkle tree hash of the rows, at least one; columns as the header has them, in its order, without null."""
    return root_of(leaf_digests(table))


def leaf_digests(table: pa.Table) -> list[bytes]:
    """SHA-256 of 00 ‖ record for every row."""
    return [sha256(record).digest() for block in _blocks(table) for record in block]


def record_bytes(table: pa.Table, row: int) -> bytes:
    """The bytes of one record (row from 0)."""
    return next(_leaves(table.slice(row, 1)))[1:]


def values_of(column: pa.ChunkedArray | pa.Array) -> NDArray[Any]:
    """Numbers without null as numpy has them.

    Arrow's own to_numpy imports pandas, where it is installed, to ask whether it wants them: that takes a second.
    """
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = {pa.float64(): np.float64, pa.int64(): np.int64, pa.int32(): np.int32}[whole.type]
    if len(whole) == 0:
        return np.empty(0, dtype=kind)
    return np.frombuffer(whole.buffers()[1], dtype=kind)[whole.offset : whole.offset + len(whole)]


def _blocks(table: pa.Table) -> Iterator[Iterator[bytes]]:
    """00 ‖ record for every row, block by block."""
    step = max(1, _BLOCK_BYTES // max(1, table.nbytes // table.num_rows))
    for start in range(0, table.num_rows, step):
        yield _leaves(table.slice(start, step))


def _leaves(block: pa.Table) -> Iterator[bytes]:
    """00 ‖ record for every row.

    Numbers that stand together are laid out as one piece; a text is a piece, its length the end of the one before.
    Cutting numpy's bytes into pieces and joining them is several times faster than packing record by record.
    """
    pieces: list[list[bytes]] = []
    run: list[NDArray[Any]] = []
    for name, column in zip(block.column_names, block.columns, strict=True):
        if not pa.types.is_string(column.type):
            run.append(values_of(column))
            continue
        texts = column.combine_chunks()
        if name.startswith(FEATURE):  # few values
            pieces += [_fixed(run, lead=not pieces)] if run else []
            pieces.append(_coded(texts))
        else:
            pieces.append(_fixed([*run, values_of(pc.binary_length(texts))], lead=not pieces))
            pieces.append(texts.cast(pa.binary()).to_pylist())
        run = []
    if run:
        pieces.append(_fixed(run, lead=not pieces))
    return map(b"".join, zip(*pieces, strict=True))


def _fixed(run: list[NDArray[Any]], *, lead: bool) -> list[bytes]:
    """Numbers of one row after the other, 8 bytes each, big-endian; lead: after the byte 00 of a leaf."""
    matrix = np.zeros((len(run[0]), int(lead) + 8 * len(run)), dtype=np.uint8)
    for index, values in enumerate(run):
        wide = values.astype(">f8" if values.dtype.kind == "f" else ">i8")
        start = int(lead) + 8 * index
        matrix[:, start : start + 8] = wide.view(np.uint8).reshape(-1, 8)
    pieces: list[bytes] = matrix.view(f"V{matrix.shape[1]}").ravel().tolist()
    return pieces


def _coded(texts: pa.StringArray) -> list[bytes]:
    """Length and bytes of texts of which there are few."""
    encoded = texts.dictionary_encode()
    values = [len(text).to_bytes(8, "big") + text for text in encoded.dictionary.cast(pa.binary()).to_pylist()]
    table = np.empty(len(values), dtype=object)
    table[:] = values
    pieces: list[bytes] = table[values_of(encoded.indices)].tolist()
    return pieces
