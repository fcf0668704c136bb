"""One pass over all rows: people, exact sums and positives by cell; another where the first could not be exact.

Nothing is dropped: a row whose numbers cannot be used is counted with its reason, or is an error that names the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final, final

import narwhals as nw

from certifair.errors import InputError
from certifair.evidence.audit import levels
from certifair.evidence.audit.engines.base import Engine, UnreadableError
from certifair.evidence.audit.mapping import Mapping
from certifair.evidence.audit.nulls import refuse_false_nulls
from certifair.evidence.audit.numbers import REASONS, category, flag, key_names, numbers_of, seconds, with_reasons
from certifair.evidence.audit.parts import Part
from certifair.evidence.audit.tally import Counted, Tally, Values
from certifair.exact.decimals import largest_float_at_most
from certifair.spec.groups import MISSING

MAX_CELLS: Final = 100_000
"""More combinations of values than this are no groups but names of people."""
SAMPLE: Final = 1000
"""Rows that are looked at to choose the way to add up; whether it was exact is decided afterwards."""
Cells = dict[Values, Counted]


@final
class Counter:
    """Counts the parts of a log with one engine."""

    def __init__(self, engine: Engine, parts: Sequence[Part], mapping: Mapping, thresholds: Sequence[Fraction]) -> None:
        self._engine, self._parts, self._thresholds = engine, parts, tuple(thresholds)
        self._keys = tuple(name for name, _ in mapping.columns)
        self._measures = tuple(name for name, _ in mapping.measures)
        self._limits = [largest_float_at_most(threshold) for threshold in thresholds]

    def tally(self, *, strict: bool) -> Tally:
        """All cells. `strict`: a row that cannot be used is an InputError, else it is counted as excluded."""
        cells: Cells = {}
        excluded: dict[str, int] = {}
        files: list[tuple[str, int]] = []
        for part in (piece for whole in self._parts for piece in whole.pieces()):
            try:
                refuse_false_nulls(part, self._engine.unseen(part.files) if part.table is None else ())
                seen = self._plainly(part, cells)
                if seen is None:
                    seen = self._carefully(part, cells, excluded, strict=strict)
            except UnreadableError:
                self._blame(part)
                raise
            files += self._rows(part, seen)
        if not sum(rows for _, rows in files):
            raise InputError("has no row", where=self._parts[0].files[0].path, advice="an audit needs at least one")
        kept = {values: cell for values, cell in cells.items() if cell.n}
        return Tally(self._keys, self._measures, self._thresholds, kept, excluded, tuple(files))

    def file_with(self, key: str, value: str) -> str:
        """The first file in which a key has this value."""
        at = self._keys.index(key)
        for part in (piece for whole in self._parts for piece in whole.pieces()):
            for file in part.files:
                keys = numbers_of(self._engine, part.alone(file)).select(nw.col(f"k{at}").alias("k"))
                frame = keys.group_by("k").agg(nw.len().alias("rows"))
                found = self._engine.fetch(frame.select("k"), MAX_CELLS + 1, file.path)
                if value in {self._text(at, row[0], file.path) for row in found}:
                    return file.path
        return "the log"

    def _blame(self, part: Part) -> None:
        """Raise the error of the first file that cannot be read by itself."""
        for file in part.files if len(part.files) > 1 else ():
            frame = numbers_of(self._engine, part.alone(file))
            names = [*key_names(part), *(f"x{j}" for j in range(len(self._measures)))]
            self._engine.fetch(frame.select(*(nw.col(name).count() for name in names)), 1, file.path)

    def _rows(self, part: Part, seen: int) -> list[tuple[str, int]]:
        if part.rows is None:
            return [(part.files[0].path, seen)]
        if sum(part.rows) != seen:
            what = f"{self._engine.name} read {seen} rows where the files say {sum(part.rows)}"
            raise InputError(what, where=part.files[0].path, advice="write the file again: its footer is wrong")
        return [(file.path, rows) for file, rows in zip(part.files, part.rows, strict=True)]

    def _grouped(self, part: Part, frame: nw.LazyFrame[Any], amounts: dict[str, nw.Expr], *more: str) -> list[Any]:
        """[(values, rows, {name: amount})] for each group; the keys `more` follow as amounts of their own."""
        keys = [*key_names(part), *more]
        totals = [amount.alias(f"of_{name}") for name, amount in amounts.items()]
        grouped = frame.group_by(keys).agg(nw.len().alias("rows"), *totals)
        order = [*keys, "rows", *(f"of_{name}" for name in amounts)]
        limit = MAX_CELLS * (2 * levels.WINDOWS + 1 if more else 1)
        where = _where(part)
        found = self._engine.fetch(grouped.select(*order), limit + 1, where)
        if len(found) > limit:
            what = f"has more than {MAX_CELLS} groups"
            raise InputError(what, where=where, advice="choose columns with fewer values")
        width, names = len(key_names(part)), [*more, "rows", *amounts]
        texts = [tuple(self._text(i, value, where) for i, value in enumerate(row[:width])) for row in found]
        return [(values, dict(zip(names, row[width:], strict=True))) for values, row in zip(texts, found, strict=True)]

    def _plainly(self, part: Part, cells: Cells) -> int | None:
        """The number of rows, all of them added to the cells; None, and nothing added, where it would not be exact."""
        frame = numbers_of(self._engine, part)
        measures = range(len(self._measures))
        sample = self._engine.fetch(frame.select(*(f"x{j}" for j in measures)), SAMPLE, _where(part))
        ways = [levels.plain_way([row[j] for row in sample if row[j] is not None]) for j in measures]
        while True:
            chosen = [way for way in ways if way is not None]
            if len(chosen) < len(ways):
                return None
            found = self._plain_groups(part, frame, chosen)
            if any(row[f"n{j}"] != row["rows"] for _, row in found for j in measures):
                return None
            worse = {j for j in measures if not all(_exact(chosen[j], j, row) for _, row in found)}
            if not worse:
                break
            deepest = levels.WAYS[-1]
            ways = [(None if way == deepest else deepest) if j in worse else way for j, way in enumerate(chosen)]
        for values, row in found:
            self._refuse_lists(part, row)
            plain = [[row[f"x{j}_{level}"] for level in range(way.depth)] for j, way in enumerate(chosen)]
            sums = [levels.assembled_plain(way, sums) for way, sums in zip(chosen, plain, strict=True)]
            _add(cells, values, self._cell(row["rows"], sums, row))
        return sum(int(row["rows"]) for _, row in found)

    def _plain_groups(self, part: Part, frame: nw.LazyFrame[Any], ways: Sequence[levels.Way]) -> list[Any]:
        amounts = self._listed(part)
        for j, way in enumerate(ways):
            x = nw.col(f"x{j}")
            frame = levels.add_plain(frame, f"x{j}", way)
            amounts[f"n{j}"] = x.count()
            amounts |= {f"{what}{j}": nw.col(f"x{j}_{what}").max() for what in ("size", "left")}
            amounts |= {f"x{j}_{level}": nw.col(f"x{j}_{level}").sum() for level in range(way.depth)}
            for t, limit in enumerate(self._limits):
                amounts[f"above{j}_{t}"] = (x > nw.lit(limit)).cast(nw.Int32).sum()
        return self._grouped(part, frame, amounts)

    def _carefully(self, part: Part, cells: Cells, excluded: dict[str, int], *, strict: bool) -> int:
        """The number of rows; those that cannot be used are excluded, the others added to the cells."""
        frame = with_reasons(numbers_of(self._engine, part), part)
        frame = frame.with_columns(flag(nw.col("why") < 0).alias("usable"))
        usable = nw.col("usable") == 1
        columns, names = [], []
        for j in range(len(self._measures)):
            x = nw.col(f"x{j}")
            near = levels.in_range(x.abs())
            columns.append(nw.when(usable & near).then(x).otherwise(nw.lit(0.0)).alias(f"y{j}"))
            columns.append(flag(usable & (x != nw.lit(0.0)) & ~near).alias(f"rest{j}"))
            names += [*levels.level_names(f"y{j}"), f"rest{j}"]
            for t, limit in enumerate(self._limits):
                columns.append(flag(usable & (x > nw.lit(limit))).alias(f"above{j}_{t}"))
                names.append(f"above{j}_{t}")
        frame = frame.with_columns(*columns)
        for j in range(len(self._measures)):
            frame = levels.add_levels(frame, f"y{j}")
        amounts = {name: self._engine.summable(nw.col(name)).sum() for name in ("usable", *names)}
        found = self._grouped(part, frame, self._listed(part) | amounts)
        for values, row in found:
            self._refuse_lists(part, row)
            sums = [
                levels.assembled([row[name] for name in levels.level_names(f"y{j}")])
                for j in range(len(self._measures))
            ]
            _add(cells, values, self._cell(int(row["usable"]), sums, row))
        for j in range(len(self._measures)):
            if any(row[f"rest{j}"] for _, row in found):
                self._add_rest(part, frame, j, cells)
        seen = sum(int(row["rows"]) for _, row in found)
        if seen != sum(int(row["usable"]) for _, row in found):
            self._exclude(part, excluded, strict=strict)
        return seen

    def _add_rest(self, part: Part, frame: nw.LazyFrame[Any], j: int, cells: Cells) -> None:
        """What is out of range, of one measure, scaled window by window (see `levels`).

        Nothing is filtered here nor elsewhere: engines skip what a footer's minima and maxima seem to exclude.
        """
        out, x = nw.col(f"rest{j}") == 1, nw.col("x")
        far = nw.when(out).then(nw.col(f"x{j}")).otherwise(nw.lit(1.0))  # 1 has window 0, and is taken out below
        frame = frame.with_columns(far.alias("x")).select(*key_names(part), "x", f"rest{j}")
        first, second = levels.half_scales(x.abs())
        scaled = nw.when(out).then(x * first * second).otherwise(nw.lit(0.0))
        frame = frame.with_columns(scaled.alias("y"), levels.window(x.abs()).alias("w"))
        names = levels.level_names("y")
        amounts = {name: self._engine.summable(nw.col(name)).sum() for name in names}
        for values, row in self._grouped(part, levels.add_levels(frame, "y"), amounts, "w"):
            more = levels.unscaled(int(row["w"]), [row[name] for name in names])
            cell = cells[values]
            sums = tuple(total + more if i == j else total for i, total in enumerate(cell.sums))
            cells[values] = Counted(cell.n, sums, cell.positives)

    def _cell(self, n: int, sums: Sequence[Fraction], row: dict[str, Any]) -> Counted:
        limits, measures = range(len(self._limits)), range(len(self._measures))
        positives = tuple(tuple(int(row[f"above{j}_{t}"]) for t in limits) for j in measures)
        return Counted(int(n), tuple(sums), positives)

    def _exclude(self, part: Part, excluded: dict[str, int], *, strict: bool) -> None:
        """Count the rows that cannot be used by reason, or raise the error that names the first file."""
        for here in [part.alone(file) for file in part.files] if strict else [part]:
            frame = with_reasons(numbers_of(self._engine, here), here)
            examples = [nw.col(f"m{j}").max().alias(f"example{j}") for j in range(len(self._measures))]
            grouped = frame.group_by("why").agg(nw.len().alias("rows"), *examples)
            for code, rows, *shown in sorted(self._engine.fetch(grouped, 100, _where(here)), key=lambda row: row[0]):
                if code < 0:
                    continue
                reason = f"{self._measures[code // 3]} {REASONS[code % 3]}"
                if strict:
                    example = f", for example {str(shown[code // 3])[:60]!r}" if code % 3 else ""
                    what = f"{reason} in {_rows(rows)}{example}"
                    advice = "fill it in, or leave such rows out yourself"
                    raise InputError(what, where=here.files[0].path, advice=advice)
                excluded[reason] = excluded.get(reason, 0) + rows

    def _listed(self, part: Part) -> dict[str, nw.Expr]:
        return {f"s{j}": nw.col(f"s{j}").sum() for j in range(len(seconds(part)))}

    def _refuse_lists(self, part: Part, row: dict[str, Any]) -> None:
        for j, bound in enumerate(seconds(part)):
            if row[f"s{j}"]:
                place = ".".join(str(step) for step in bound.paths[-1][:-1]) or "the list"
                advice = "an audit reads one person a row: unpack the table first, one record a row"
                what = f"holds more than one record in {place!r} in {_rows(row[f's{j}'])} of a group"
                raise InputError(what, where=_where(part), advice=advice)

    def _text(self, at: int, value: Any, where: str) -> str:
        name = self._keys[at]
        if value == MISSING:
            raise InputError(f"{name!r} holds the text {MISSING!r}, which names missing values", where=where)
        text = category(value)
        if text is None:
            raise InputError(f"{name!r} holds {str(value)[:60]!r}, a fraction, not a category", where=where)
        return text


def _exact(way: levels.Way, j: int, row: dict[str, Any]) -> bool:
    return levels.plain_is_exact(way, row["rows"], row[f"size{j}"], row[f"left{j}"])


def _where(part: Part) -> str:
    first = part.files[0].path
    return first if len(part.files) == 1 else f"{first} and {len(part.files) - 1} more files"


def _rows(number: int) -> str:
    return f"{number} row" if number == 1 else f"{number} rows"


def _add(cells: Cells, values: Values, more: Counted) -> None:
    cells[values] = cells[values] + more if values in cells else more
