"""What an audit found: people, exact sums and positives of every cell, and the evidence that says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import final

from certifair.evidence.audit import mapping as mapped
from certifair.evidence.canonical import canonical
from certifair.exact.decimals import format_decimal, format_rational
from certifair.spec import Json
from certifair.spec.groups import MISSING

FORMAT = "certifair-audit/0"
Values = tuple[str, ...]


@final
@dataclass(frozen=True)
class Counted:
    """The people of a cell, the exact sum of each measure, and of each how many lie above each threshold."""

    n: int
    sums: tuple[Fraction, ...]
    positives: tuple[tuple[int, ...], ...]

    def __add__(self, other: Counted) -> Counted:
        return Counted(
            self.n + other.n,
            tuple(a + b for a, b in zip(self.sums, other.sums, strict=True)),
            tuple(
                tuple(a + b for a, b in zip(p, q, strict=True))
                for p, q in zip(self.positives, other.positives, strict=True)
            ),
        )


@final
@dataclass(frozen=True)
class Tally:
    """Cells by the values of `keys`, in that order; only cells that hold somebody. `excluded`: rows by reason."""

    keys: tuple[str, ...]
    measures: tuple[str, ...]
    thresholds: tuple[Fraction, ...]
    cells: Mapping[Values, Counted]
    excluded: Mapping[str, int]
    files: tuple[tuple[str, int], ...]

    @property
    def rows(self) -> int:
        """All rows of all files: those of the cells and those that were excluded."""
        return sum(rows for _, rows in self.files)

    @property
    def counted(self) -> int:
        return sum(cell.n for cell in self.cells.values())

    def values(self, key: str) -> tuple[str, ...]:
        """The values that occur, sorted; the missing ones last."""
        at = self.keys.index(key)
        return tuple(sorted({values[at] for values in self.cells}, key=lambda value: (value == MISSING, value)))

    def merged(self, keys: Iterable[str]) -> dict[Values, Counted]:
        """The cells of some of the keys."""
        at = [self.keys.index(key) for key in keys]
        found: dict[Values, Counted] = {}
        for values, cell in self.cells.items():
            key = tuple(values[i] for i in at)
            found[key] = found[key] + cell if key in found else cell
        return found


def evidence_bytes(
    tally: Tally, mapping: mapped.Mapping, digests: Mapping[str, str], logs: Sequence[Json] = ()
) -> bytes:
    """RFC 8785 JSON. The same files and mapping give the same bytes, whichever engine counted them.

    `logs`: the folders among the files that certifair wrote, each with its path, id and head.
    """
    return canonical(_evidence(tally, mapping, digests, logs))


def _evidence(tally: Tally, mapping: mapped.Mapping, digests: Mapping[str, str], logs: Sequence[Json]) -> Json:
    order = {key: {value: i for i, value in enumerate(tally.values(key))} for key in tally.keys}
    ranked = sorted(tally.cells, key=lambda values: [order[k][v] for k, v in zip(tally.keys, values, strict=True)])
    return {
        "format": FORMAT,
        "files": [{"path": path, "sha256": digests[path], "rows": rows} for path, rows in sorted(tally.files)],
        "logs": sorted(logs, key=lambda log: str(log["path"])),
        "mapping": {
            "prediction": mapping.prediction,
            "score": mapping.score,
            "columns": dict(mapping.columns),
        },
        "columns": list(tally.keys),
        "thresholds": [format_decimal(threshold) for threshold in tally.thresholds],
        "rows": tally.rows,
        "excluded": [{"reason": reason, "rows": rows} for reason, rows in sorted(tally.excluded.items())],
        "cells": [{"values": list(values), **_cell(tally, tally.cells[values])} for values in ranked],
    }


def _cell(tally: Tally, cell: Counted) -> Json:
    """`sum` and `positives` of the predictions; those of scores under names of their own."""
    found: Json = {"n": cell.n}
    for measure, total, positives in zip(tally.measures, cell.sums, cell.positives, strict=True):
        found["sum" if measure == "prediction" else "scoreSum"] = format_rational(total)
        found["positives" if measure == "prediction" else "scorePositives"] = list(positives)
    return found
