"""DuckDB: one machine, all its cores, bounded memory. Sums of 64-bit integers are 128 bits wide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

import duckdb
import narwhals as nw
from duckdb import ColumnExpression, ConstantExpression, Expression, FunctionExpression

from certifair.evidence.audit.engines.base import DOCUMENT, Engine
from certifair.evidence.audit.mapping import Bound, Path
from certifair.evidence.audit.sources import Source

if TYPE_CHECKING:
    import pyarrow as pa

MEMORY = "1GB"
"""Less than the 2 GiB that an audit may take: Python, Arrow and what DuckDB does not count need room, too."""

BELIEVING = "statistics_propagation,filter_pushdown,compressed_materialization"
"""Optimizers that believe the minima and maxima in a Parquet footer. Its writer chose them, and they leave NaN out."""

UNSEEN = """SELECT file_name, row_group_id, column_id FROM parquet_metadata(?)
WHERE stats_null_count >= least(num_values, row_group_num_rows) AND row_group_num_rows > 0"""
"""Chunks that are not read, since the footer says that every value is null."""


@final
class DuckDb(Engine):
    """A connection of its own, in memory; what does not fit goes to a folder that is removed."""

    name = "duckdb"

    def __init__(self) -> None:
        super().__init__()
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY,
            "temp_directory": str(self.scratch / "spilled"),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "preserve_insertion_order": False,
        }
        self._connection = duckdb.connect(config=settings)
        self._connection.execute(f"SET disabled_optimizers = '{BELIEVING}'")

    def open(self, files: Sequence[Source], columns: Sequence[str]) -> Any:
        links = self.links(files)
        try:
            if files[0].form == "parquet":
                return self._connection.read_parquet(links, hive_partitioning=False)
            if files[0].form == "csv":
                return self._connection.read_csv(
                    links,  # type: ignore[arg-type]
                    columns=dict.fromkeys(columns, "VARCHAR"),
                    auto_detect=False,
                    header=True,
                    delimiter=",",
                    quotechar='"',
                    escapechar='"',
                    hive_partitioning=False,
                )
            return self._connection.read_json(
                links,  # type: ignore[arg-type]
                columns={DOCUMENT: "JSON"},
                format="newline_delimited",
                records="false",
                hive_partitioning=False,
            )
        except duckdb.Error as error:
            raise self.refused(_complaint(error), files[0].path) from None

    def open_table(self, table: pa.Table) -> Any:
        return self._connection.from_arrow(table)

    def unseen(self, files: Sequence[Source]) -> list[tuple[Source, int, int]]:
        # By its own reading of the footers: Arrow hides the statistics of writers that it mistrusts.
        if files[0].form != "parquet":
            return []
        known = dict(zip(self.links(files), files, strict=True))
        try:
            found = self._connection.execute(UNSEEN, [list(known)]).fetchall()
        except duckdb.Error as error:
            raise self.refused(_complaint(error), files[0].path) from None
        return [(known[name], group, leaf) for name, group, leaf in found]

    def select(self, table: Any, chosen: Mapping[str, Bound]) -> nw.LazyFrame[Any]:
        columns = (_expression(bound).alias(name) for name, bound in chosen.items())
        frame: nw.LazyFrame[Any] = nw.from_native(table.project(*columns))
        return frame

    def fetch(self, frame: nw.LazyFrame[Any], limit: int, where: str) -> list[tuple[Any, ...]]:
        try:
            rows: list[tuple[Any, ...]] = frame.to_native().limit(limit).fetchall()
        except duckdb.Error as error:
            raise self.refused(_complaint(error), where) from None
        return rows

    def summable(self, integers: nw.Expr) -> nw.Expr:
        return integers

    def watch(self) -> None:
        # The bar is what progress() reads, printing it is another setting. It costs a little: only if somebody looks.
        self._connection.execute("SET enable_progress_bar_print = false; SET enable_progress_bar = true")

    def progress(self) -> float | None:
        share = self._connection.query_progress()
        return share / 100 if share >= 0 else None

    def close(self) -> None:
        self._connection.interrupt()
        self._connection.close()


def _complaint(error: duckdb.Error) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _expression(bound: Bound) -> Expression:
    found: Expression = ColumnExpression(bound.column)
    for field in bound.fields:
        found = FunctionExpression("struct_extract", found, ConstantExpression(field))
    for path in bound.paths:
        found = FunctionExpression("json_extract_string", found, ConstantExpression(_path(path)))
        found = FunctionExpression("nullif", found, ConstantExpression("null"))
    return found


def _path(path: Path) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f'."{step}"' for step in path)
