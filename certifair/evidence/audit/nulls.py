"""Footers that say that a column holds nothing in a row group: engines believe them, and never look at the values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from certifair.errors import InputError
from certifair.evidence.audit.parts import Part
from certifair.evidence.audit.sources import Source
from certifair.evidence.tables import BROKEN, first_line

if TYPE_CHECKING:
    import pyarrow as pa


def refuse_false_nulls(part: Part, claims: Iterable[tuple[Source, int, int]]) -> None:
    """`claims`: (file, row group, leaf column) that an engine would take for null unseen. Arrow looks at the values.

    Columns that the part does not use may lie. Raises InputError.
    """
    import pyarrow.parquet as pq

    used = {bound.column for bound in (*part.keys, *part.measures)}
    for source, group, leaf in claims:
        try:
            with pq.ParquetFile(source.real) as file:
                table = file.reader.read_row_group(group, column_indices=[leaf], use_threads=False)
        except BROKEN as error:
            raise InputError(f"cannot be read as parquet ({first_line(error)})", where=source.path) from None
        for name in table.column_names:
            if name in used and any(_values(chunk) for chunk in table[name].chunks):
                what = f"says in its footer that row group {group + 1} holds no value of {name!r}, and it holds some"
                raise InputError(what, where=source.path, advice="write the file anew")


def _values(array: pa.Array) -> int:
    """How many values are not null; of a struct with one field inside it, those of the field."""
    import pyarrow as pa

    found: Any = array
    while pa.types.is_struct(found.type) and found.type.num_fields:
        found = found.flatten()[0]
    return len(found) - int(found.null_count)
