"""One offline page: the tables with what is behind every cell, and the pictures. Nothing is fetched from anywhere."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final
from urllib.parse import quote

from certifair.compare.outputs.base import (
    CHECK,
    Output,
    basis_of,
    behind,
    best,
    ends,
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
    """A cell as the page shows it. order: what its column is sorted by, empty where that is not known.

    ends: what is known of every run's figure, in words. figures: of each run, with what is known of that one.
    """

    cell: Cell
    winner: bool
    known: bool
    order: str
    ends: str
    figures: tuple[tuple[Run, Figure, str], ...]

    @property
    def title(self) -> str:
        """One line for who points at it."""
        reason = self.cell.reason if self.known else self.cell.reason or "no figure"
        return "; ".join(part for part in (self.ends, reason) if part)


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
        check=CHECK,
        style=style,
        script=script,
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return page


def link(folder: str, inside: str = "") -> str:
    """The address of a run's folder or of what is inside, relative to the page: no name makes a scheme or a host."""
    return f"./{quote(folder)}/{inside}"


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
    order = repr(float(cell.rank)) if cell.rank is not None and math.isfinite(cell.rank) else ""
    figures = tuple(
        (run, figure, ends(basis_of(item, figure), figure.lower, figure.upper)) for run, figure in behind(table, cell)
    )
    words = ends(cell.basis, cell.lower, cell.upper, cell.n)
    return Shown(cell, method in winners[item.name], has_figure(cell), order, words, figures)


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

    def remarked(text: str) -> Markup:
        """What a cell says in brackets after its figure goes into a line of its own."""
        figure, bracket, remark = printable(text).partition(" (")
        line = Markup('<span class="remark">{}</span>') if bracket else Markup("{}")
        return Markup.escape(figure) + line.format(bracket + remark)

    environment = Environment(
        loader=FileSystemLoader(PARTS),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(heading=heading, meaning=meaning, link=link, breakable=breakable, remarked=remarked)
    return environment
