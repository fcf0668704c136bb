"""What every engine does: open files, pick columns, and answer with plain rows. The rest is written once, in narwhals.

Only three things are native, because narwhals has no words for them: opening several files as one table, looking up a
place in a JSON text, and picking a column by a name that strangers chose. No name ever becomes part of a query's text,
and no path is given to an engine: it gets links with names of our own, since engines read `*` in a path as a pattern
and skip what begins with an underscore.
"""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import narwhals as nw

from certifair.errors import InputError
from certifair.evidence.audit.mapping import Bound
from certifair.evidence.audit.sources import Source
from certifair.spec.printable import printable

if TYPE_CHECKING:
    import pyarrow as pa

DOCUMENT = "document"
"""The one column of a file of JSON objects."""


class UnreadableError(InputError):
    """What an engine could not read. `where` is one file, or several."""


class Engine(ABC):
    """A final subclass in a file of its own in this folder is an engine, and a context manager that cleans up."""

    name: ClassVar[str]

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="certifair-audit-")
        self._given: dict[str, str] = {}

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
        self._folder.cleanup()

    @property
    def scratch(self) -> Path:
        """A folder that is gone when the engine is."""
        return Path(self._folder.name)

    def links(self, files: Sequence[Source]) -> list[str]:
        """Names that are safe for any engine, for files of one form."""
        made = []
        for file in files:
            link = self.scratch / f"{len(self._given):08}.{file.form}"
            link.symlink_to(file.real)
            self._given[str(link)] = file.path
            made.append(str(link))
        return made

    def refused(self, complaint: str, where: str) -> UnreadableError:
        """An engine's complaint, one line of it, with the names of files as they were given."""
        for link, path in self._given.items():
            complaint = complaint.replace(link, path)
        return UnreadableError(f"cannot be read ({printable(complaint.strip())[:300]})", where=where)

    @abstractmethod
    def open(self, files: Sequence[Source], columns: Sequence[str]) -> Any:
        """The files, all of one form, as one table of this engine; JSONL as one column DOCUMENT.

        `columns` are those of a CSV file, in order; its values are texts, null where nothing stands.
        """

    @abstractmethod
    def open_table(self, table: pa.Table) -> Any:
        """A table in memory as one of this engine."""

    def unseen(self, files: Sequence[Source]) -> list[tuple[Source, int, int]]:
        """(file, row group, leaf column), from 0, of what the engine takes for null as Parquet footers say."""
        return []

    @abstractmethod
    def select(self, table: Any, chosen: Mapping[str, Bound]) -> nw.LazyFrame[Any]:
        """These columns under these names. What comes out of JSON is text; null, and the text `null`, are null."""

    @abstractmethod
    def fetch(self, frame: nw.LazyFrame[Any], limit: int, where: str) -> list[tuple[Any, ...]]:
        """The first `limit` rows, in any order: plain Python values. Raises UnreadableError, which says `where`."""

    @abstractmethod
    def summable(self, integers: nw.Expr) -> nw.Expr:
        """64-bit integers in a type in which 10^12 of them, up to 2^53 each, are added without overflow."""

    def watch(self) -> None:  # noqa: B027 — an engine that cannot tell has nothing to do
        """Somebody will ask for progress()."""

    def progress(self) -> float | None:
        """The share of the running query that is done; None where the engine does not say."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Give back what the engine holds."""
