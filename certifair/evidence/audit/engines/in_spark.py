"""Spark: a session that runs already, or a local one. Sums of decimals are ten digits wider than what is added."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

import narwhals as nw

from certifair.errors import InputError
from certifair.evidence.audit.engines.base import DOCUMENT, Engine
from certifair.evidence.audit.mapping import Bound, Path
from certifair.evidence.audit.sources import Source

if TYPE_CHECKING:
    import pyarrow as pa

SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "OFF",
    "spark.driver.memory": "1g",
    "spark.sql.shuffle.partitions": "1",  # what is shuffled are groups, not people
    "spark.sql.session.timeZone": "UTC",
}
OWN_MACHINE = "127.0.0.1"


@final
class Spark(Engine):
    """Uses the active session, or starts one on this machine and stops it again."""

    name = "spark"

    def __init__(self) -> None:
        try:
            with warnings.catch_warnings():  # its opinion of the installed pandas, which is not used
                warnings.simplefilter("ignore")
                from pyspark.sql import SparkSession
        except ImportError:
            advice = "install it with: pip install 'certifair[spark]'"
            raise InputError("pyspark is not installed", where="--engine spark", advice=advice) from None
        super().__init__()
        running = SparkSession.getActiveSession()
        self._own = running is None
        self._session = running or _start(SparkSession)

    def open(self, files: Sequence[Source], columns: Sequence[str]) -> Any:
        links = self.links(files)
        reader = self._session.read
        try:
            if files[0].form == "parquet":
                return reader.parquet(*links)
            if files[0].form == "csv":
                return self._open_csv(links, columns)
            return reader.text(links).toDF(DOCUMENT).where("trim(document) != ''")
        except Exception as error:
            raise self.refused(_complaint(error), files[0].path) from None

    def open_table(self, table: pa.Table) -> Any:
        try:
            return self._session.createDataFrame(table)
        except Exception as error:
            raise self.refused(_complaint(error), "a segment of the log") from None

    def _open_csv(self, links: list[str], columns: Sequence[str]) -> Any:
        from pyspark.sql.types import StringType, StructField, StructType

        schema = StructType([StructField(name, StringType()) for name in columns])
        # Every field is parsed (no pruning), so that a line with too few or too many is seen.
        self._session.conf.set("spark.sql.csv.parser.columnPruning.enabled", "false")
        options = {"header": "true", "mode": "FAILFAST", "multiLine": "true", "quote": '"', "escape": '"'}
        return self._session.read.schema(schema).options(**options).csv(links)

    def select(self, table: Any, chosen: Mapping[str, Bound]) -> nw.LazyFrame[Any]:
        frame = table.select(*(_expression(bound).alias(name) for name, bound in chosen.items()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found: nw.LazyFrame[Any] = nw.from_native(frame)
        return found

    def fetch(self, frame: nw.LazyFrame[Any], limit: int, where: str) -> list[tuple[Any, ...]]:
        try:
            return [tuple(row) for row in frame.to_native().limit(limit).collect()]
        except Exception as error:  # Spark's own errors, and those of the bridge to Java
            raise self.refused(_complaint(error), where) from None

    def summable(self, integers: nw.Expr) -> nw.Expr:
        return integers.cast(nw.Decimal(20, 0))

    def close(self) -> None:
        if self._own:
            self._session.stop()


def _start(kind: Any) -> Any:
    try:
        builder = kind.builder.master("local[*]").appName("certifair audit").config("spark.driver.host", OWN_MACHINE)
        for key, value in {**SETTINGS, "spark.driver.bindAddress": OWN_MACHINE}.items():
            builder = builder.config(key, value)
        return builder.getOrCreate()
    except Exception as error:
        advice = "it needs Java 17 or newer: set JAVA_HOME"
        raise InputError(
            f"Spark does not start ({type(error).__name__})", where="--engine spark", advice=advice
        ) from None


def _complaint(error: Exception) -> str:
    """The innermost cause, or the first line; never the bridge's own words, nor a trace of calls."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    causes = [line for line in lines if line.startswith("Caused by: ")]
    return (causes or [line for line in lines if not line.startswith("An error occurred while")] or lines)[
        -1 if causes else 0
    ]


def _expression(bound: Bound) -> Any:
    from pyspark.sql import functions as sql

    found = sql.col(_quoted(bound.column))
    if bound.column == DOCUMENT and bound.paths:  # what is no JSON would only be null
        broken = sql.raise_error(sql.concat(sql.lit("this line is no JSON: "), sql.substring(found, 1, 80)))
        found = sql.when(sql.get_json_object(found, "$").isNull(), broken).otherwise(found)
    for field in bound.fields:
        found = found.getField(field)
    for path in bound.paths:
        found = sql.nullif(sql.get_json_object(found, _path(path)), sql.lit("null"))
    return found


def _quoted(name: str) -> str:
    """A name as Spark's own parser of names takes it: in backticks, those inside doubled."""
    return "`" + name.replace("`", "``") + "`"


def _path(path: Path) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f"['{step}']" for step in path)
