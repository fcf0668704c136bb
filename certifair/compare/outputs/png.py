"""Pictures: accuracy against the pooled gap, and what was proved of decisions that flip."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, final

from certifair.compare.outputs.base import Output, behind, has_figure, heading
from certifair.compare.table import Cell, Property, Table
from certifair.evidence.files import write_atomic
from certifair.report.comparison_plots import Shares, Spot, plot_comparison

PLANE: Final = ("pooled_gap", "accuracy")
"""The properties across and up."""
SHARES: Final = ("flip_rows", "flip_domain")
"""The shares that are proven unfair; what lies above their upper ends is proven fair."""


@final
class PngOutput(Output):
    """comparison-SET.png, for each data set that gives something to draw."""

    name = "png"

    def write(self, table: Table, folder: Path) -> list[Path]:
        names = file_names(table)
        drawn = {folder / names[data]: picture(table, data)[0] for data in table.sets}
        for path, content in drawn.items():
            if content is not None:
                write_atomic(path, content)
        return [path for path, content in drawn.items() if content is not None]


def file_names(table: Table) -> Mapping[str, str]:
    """Each data set's picture, with a name that every file system takes and no other set has."""
    names: dict[str, str] = {}
    for data in table.sets:
        stem = re.sub(r"[^A-Za-z0-9_-]+", "_", data)[:80]
        taken = {name.casefold() for name in names.values()}
        tries = (f"comparison-{stem}{suffix}.png" for suffix in ["", *(f"-{k}" for k in range(2, len(table.sets) + 2))])
        names[data] = next(name for name in tries if name.casefold() not in taken)
    return names


def picture(table: Table, data: str) -> tuple[bytes | None, list[str]]:
    """A data set's picture, None if there is nothing to draw, and a sentence for every part that is not in it."""
    known = {item.name: item for item in table.properties}
    missing: list[str] = []
    spots: list[Spot] = []
    if lacking := [name for name in PLANE if name not in known]:
        missing.append(f"No plane of {PLANE[1]} and {PLANE[0]} is drawn: {' and '.join(lacking)} was not asked for.")
    else:
        spots = [_spot(*(table.cell(data, method, name) for name in PLANE)) for method in table.methods]
        if not any(spot.drawn for spot in spots):
            spots = []
            missing.append(f"No plane of {PLANE[1]} and {PLANE[0]} is drawn: no method has figures of both.")
    shares: dict[str, list[Shares]] = {}
    for name in SHARES:
        bars = [_shares(table, table.cell(data, method, name)) for method in table.methods] if name in known else []
        if any(bar.falsified is not None for bar in bars):
            shares[known[name].title] = bars
        else:
            why = "no method has proven ends" if name in known else "it was not asked for"
            missing.append(f"No bars of {known[name].title if name in known else name} are drawn: {why}.")
    if not spots and not shares:
        return None, missing
    titles = [_axis(known[name]) if name in known else name for name in PLANE]
    return plot_comparison(data, (titles[0], titles[1]), spots, shares), missing


def _axis(item: Property) -> str:
    return f"{heading(item)}, {item.better} is better" if item.better else heading(item)


def _spot(across: Cell, up: Cell) -> Spot:
    """A method's place; the text of the first of the two cells that has no figure."""
    text = next((cell.text for cell in (up, across) if not has_figure(cell)), "")
    x, y = ((cell.mean if has_figure(cell) else None) for cell in (across, up))
    return Spot(_name(up), x, y, across.half or 0.0, up.half or 0.0, text)


def _shares(table: Table, cell: Cell) -> Shares:
    """Means over the runs with both ends: the shares of each add up to 1, so those of the means do.

    The table shows the worst ends instead, which are no one run's shares.
    """
    ends = [(float(f.lower), float(f.upper)) for _, f in behind(table, cell) if f.lower and f.upper]
    if not ends:
        return Shares(_name(cell), None, None, cell.text)
    falsified = math.fsum(lower for lower, _ in ends) / len(ends)
    certified = 1 - math.fsum(upper for _, upper in ends) / len(ends)
    return Shares(_name(cell), falsified, certified)


def _name(cell: Cell) -> str:
    """The method's; with how many runs the mean is of, where it leaves some out."""
    return f"{cell.method} ({cell.n} of {len(cell.runs)} runs)" if 0 < cell.n < len(cell.runs) else cell.method
