"""One offline page: the tables with what is behind every cell, and the pictures. Nothing is fetched from anywhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final
from urllib.parse import quote

from certifair.compare.outputs.base import (
    Output,
    behind,
    best,
    has_figure,
    heading,
    meaning,
    solvers,
    versions,
)
from certifair.compare.outputs.png import picture
from certifair.compare.table import CONFIDENCE, Cell, Figure, Property, Run, Table
from certifair.errors import InputError
from certifair.evidence.files import write_atomic
from certifair.spec.printable import printable

if TYPE_CHECKING:
    from jinja2 import Environment

PARTS = Path(__file__).with_name("page")


@final
@dataclass(frozen=True)
class Shown:
    """A cell as the page shows it. order: what its column is sorted by, empty without a figure."""

    cell: Cell
    winner: bool
    order: str
    figures: tuple[tuple[Run, Figure], ...]

    @property
    def title(self) -> str:
        """One line for who points at it."""
        reason = self.cell.reason if self.order else self.cell.reason or "no figure"
        return "; ".join(part for part in (ends(self.cell.lower, self.cell.upper), reason) if part)


@final
@dataclass(frozen=True)
class Section:
    """A data set: its rows by method, its picture as a data URI (empty if there is none), and why a part is missing."""

    name: str
    rows: Mapping[str, tuple[Shown, ...]]
    runs: tuple[Run, ...]
    picture: str
    missing: tuple[str, ...]


@final
class HtmlOutput(Output):
    """index.html. Its links lead to the runs' folders beside it."""

    name = "html"

    def write(self, table: Table, folder: Path) -> list[Path]:
        path = folder / "index.html"
        write_atomic(path, render(table).encode())
        return [path]


def render(table: Table) -> str:
    """The whole page. The policy in its head lets a browser run this one script and fetch nothing."""
    environment = _environment()
    style, script = ((PARTS / name).read_text(encoding="utf-8") for name in ("index.css", "index.js"))
    page: str = environment.get_template("index.html.j2").render(
        table=table,
        sections=[_section(table, data) for data in table.sets],
        solvers={method: solvers(table, method) for method in table.methods},
        versions=versions(table),
        confidence=f"{CONFIDENCE:.0%}",
        style=style,
        script=script,
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return page


def ends(lower: float | str | None, upper: float | str | None) -> str:
    """What is proven of a figure, in words; empty where nothing is."""
    if lower is None or upper is None:
        return "".join(
            f"proven: at {which} {end}" for which, end in (("least", lower), ("most", upper)) if end is not None
        )
    return f"proven: {lower}" if lower == upper else f"proven: {lower} to {upper}"


def link(folder: str) -> str:
    """The address of a run's folder, relative to the page whatever the name: it holds no scheme and no host."""
    return f"./{quote(folder)}/"


def _section(table: Table, data: str) -> Section:
    winners = {item.name: best(table, data, item) for item in table.properties}
    content, missing = picture(table, data)
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}" if content else ""
    return Section(
        data,
        {
            method: tuple(_shown(table, data, method, item, winners) for item in table.properties)
            for method in table.methods
        },
        tuple(run for run in table.runs if run.data == data),
        source,
        tuple(missing),
    )


def _shown(table: Table, data: str, method: str, item: Property, winners: Mapping[str, frozenset[str]]) -> Shown:
    cell = table.cell(data, method, item.name)
    order = repr(float(cell.mean)) if cell.mean is not None and has_figure(cell) else ""
    return Shown(cell, method in winners[item.name], order, tuple(behind(table, cell)))


def _environment() -> Environment:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from markupsafe import Markup
    except ModuleNotFoundError:
        raise InputError("the page needs jinja2", advice="pip install 'certifair[report]'") from None

    def finalize(value: object) -> object:
        return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    def breakable(name: str) -> Markup:
        """A long name may go on in a new line after an underscore."""
        return Markup.escape(printable(name)).replace("_", Markup("_<wbr>"))

    environment = Environment(
        loader=FileSystemLoader(PARTS),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(heading=heading, meaning=meaning, link=link, breakable=breakable)
    environment.globals.update(ends=ends)
    return environment
