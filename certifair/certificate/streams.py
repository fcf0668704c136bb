"""Step 9 for claims about a stream: they agree with the system, with the groups, and with each other.

The rules are those of certificates/README.md 9.10, in its order.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple, final

from certifair.checks.base import require
from certifair.checks.feasibility import cell_sums, row_value
from certifair.exact.decimals import parse_decimal, parse_dyadic
from certifair.spec import Json, metrics
from certifair.spec.groups import Cell
from certifair.spec.metrics.base import CellSum, Row
from certifair.spec.terms import OF_THE_LAYER, Terms

_SUMMARIES = ("weighted", "skipped", "bound")
_COUNT = "steps", *_SUMMARIES
"""Forms whose witness says in one number how many batches the stream has."""
_STEP_SLACK = 1 + Fraction(1, 2**40)
_PLACE = Fraction(1, 10**12)


@final
class _Figures(NamedTuple):
    """Of one row: the batches that count, their people; of an average of what was served, between what it is proved."""

    counted: int
    people: int
    interval: tuple[Fraction, Fraction] | None


def check_constraint(claim: Json, layer: Json) -> None:
    """The claim's rows are those of the system's layer."""
    own = {name: claim[name] for name in ("metric", "sensitiveFeatures", "intersectional")}
    same = {name: layer[name] for name in own} == own
    condition = metrics.get(claim["metric"]).condition_on(layer["condition"])
    require(same and claim["conditionOn"] == condition, f"claim {claim['id']!r}: another constraint than the layer's")


def check_system(system: Json) -> None:
    """Layer and box make sense, and an online algorithm says what it keeps, and with which step size."""
    layer, box, online = system["layer"], system["box"], system["online"]
    require(box is None or parse_decimal(box["lower"]) < parse_decimal(box["upper"]), "the box is upside down")
    require(layer is None or parse_decimal(layer["epsilon"]) >= 0, "the layer's epsilon is negative")
    if online is None:
        return
    require(layer is not None and box is not None, "an online algorithm without a metric to keep, or without a box")
    eta0 = online["eta0"]
    require((eta0 is not None) == (online["algorithm"] == "paper"), "a step size belongs to the paper's algorithm")
    require(eta0 is None or parse_decimal(eta0) > 0, "a step size of 0")


def check_streams(predicate: Json, n: int) -> None:
    """Raise InconsistentError naming the first contradiction."""
    claims = predicate["claims"]
    streams = [claim for claim in claims if claim["kind"] == "aggregate"]
    logs = [item["sha256"] for item in predicate["materials"] if item["role"] == "log"]
    chains = [claim for claim in streams if claim["form"] == "chain"]
    require(len(logs) == len(chains), "a log without a claim of its chain, or the other way round")
    require(sum(claim["form"] == "steps" for claim in streams) <= 1, "two claims of the log's steps")
    require(all([claim["witness"]["head"]] == logs for claim in chains), "the chain is that of another log")
    for claim in streams:
        _check_algorithm(claim, predicate["system"], chained=bool(chains))
        if claim["form"] in _SUMMARIES:
            _check_counts(claim, predicate["groups"])
        if claim["form"] == "bound":
            _check_bound(claim, predicate["system"])
        if claim["form"] == "moment":
            _check_last_moment(claim, predicate["groups"])
    _check_batches(claims, n)
    _check_rows(streams, n)
    faulty = any(claim["form"] == "steps" and claim["witness"]["faults"] for claim in streams)
    promises = [row["promise"] for claim in streams if claim["form"] == "bound" for row in claim["witness"]["rows"]]
    require(not faulty or not any(promises), "a bound from steps that do not follow")


def _check_algorithm(claim: Json, system: Json, *, chained: bool) -> None:
    if claim["form"] not in ("steps", "bound"):
        return
    where, online = f"claim {claim['id']!r}", system["online"]
    require(chained, f"{where}: there is no log")
    require(online is not None and online["algorithm"] == "paper", f"{where}: the system has no dual variables")
    if claim["form"] == "bound":
        require(
            claim["witness"]["epsilon"] == system["layer"]["epsilon"], f"{where}: another epsilon than the system's"
        )
        check_constraint(claim, system["layer"])


def _check_counts(claim: Json, groups: list[Json]) -> None:
    """A row counts in no more batches than the smaller of its groups has people."""
    terms, batches = Terms.from_json(claim), claim["witness"]["batches"]
    tables = _tables(terms, groups)
    for row, entry in zip(terms.rows, claim["witness"]["rows"], strict=True):
        counted = batches - entry["batches"] if terms.form == "skipped" else entry["counted"]
        smaller = min(sum_.n for sum_ in _group_sums(row, tables).values())
        require(counted <= smaller, f"{row.name}: counts in more batches than a group has people")


def _check_bound(claim: Json, system: Json) -> None:
    """The last step size is no larger than so many steps leave it, and `prior` no smaller than it can be."""
    eta0, layer, box = parse_decimal(system["online"]["eta0"]), system["layer"], system["box"]
    width = parse_decimal(box["upper"]) - parse_decimal(box["lower"])
    for entry in claim["witness"]["rows"]:
        if entry["promise"] is None:
            continue
        eta = parse_decimal(entry["eta"])
        require(eta**2 * entry["counted"] <= eta0**2 * _STEP_SLACK, f"{entry['row']}: a step size that never was")
        sum_ = width / (2 * (eta + _PLACE)) + parse_decimal(entry["rounding"])
        least = max(parse_decimal(layer["epsilon"]) + sum_ / entry["people"], parse_decimal(entry["lower"]))
        prior = entry["prior"]
        require(prior is None or parse_decimal(prior) >= least, f"{entry['row']}: a bound that no theorem gives")


def _check_last_moment(claim: Json, groups: list[Json]) -> None:
    """The last moment is everybody, whose means stand in `groups`."""
    if claim["conditionOn"] is not None:
        return
    terms, witness = Terms.from_json(claim), claim["witness"]
    tables = _tables(terms, groups)
    listed = {entry["batch"]: cell_sums(terms, entry["cells"]) for entry in witness["batches"]["listed"]}
    for row, entry in zip(terms.rows, witness["rows"], strict=True):
        last = row_value(terms, row, _group_sums(row, tables))
        require((last is None) <= (entry["undecided"] > 0), f"{row.name}: the last moment is decided by too few")
        require((last is not None) <= (entry["counted"] > 0), f"{row.name}: the last moment does not count")
        if last is None or terms.map != "served":
            continue
        value = row_value(terms, row, listed[entry["worstBatch"]])
        require(value is not None and value >= last, f"{row.name}: the last moment is worse than the worst")


Tables = dict[int, list[Json]]


def _tables(terms: Terms, groups: list[Json]) -> Tables:
    """The cells of `groups`, for each partition of the claim."""
    found = {tuple(table["features"]): table["cells"] for table in groups}
    return {p: found[partition.features] for p, partition in enumerate(terms.partitions)}


def _group_sums(row: Row, tables: Tables) -> dict[Cell, CellSum]:
    """Everybody of the row's groups, whatever the condition."""
    entries = {cell: tables[cell.partition][cell.group] for cell in row.cells}
    return {cell: CellSum(entry["n"], parse_dyadic(entry["sum"])) for cell, entry in entries.items()}


def _check_batches(claims: list[Json], n: int) -> None:
    """All claims speak of the same batches; all but the first few, together fewer than `span` people, are moments."""
    exact, most, least = set(), set(), set()
    for claim in claims:
        batches = claim["witness"].get("batches")
        if claim["form"] in (*_COUNT, *OF_THE_LAYER):
            exact.add(batches)
        elif claim["form"] in ("difference", "ratio") and claim["kind"] == "feasibility":
            exact.add(batches["total"])
        elif claim["form"] in ("moment", "window"):
            most.add(batches["total"])
            least |= {batches["total"] + claim["span"]} if claim["span"] <= n else set()
        elif claim["form"] == "chain":
            most.add(claim["witness"]["segments"])
    require(len(exact) <= 1, "claims count different numbers of batches")
    require(not exact or all(total <= min(exact) for total in most), "more moments, windows or segments than batches")
    require(not exact or all(total > max(exact) for total in least), "moments or windows are left out")


def _check_rows(streams: list[Json], n: int) -> None:
    """The same row counts in the same batches, and two intervals of one average meet."""
    seen: dict[Any, _Figures] = {}
    averages: dict[Any, tuple[Fraction, Fraction]] = {}
    for claim in streams:
        for key, figures in _figures(claim, n):
            before = seen.setdefault(key, figures)
            require(before[:2] == figures[:2], f"claim {claim['id']!r}: contradicts another claim's batches")
            if figures.interval is None:
                continue
            low, high = averages.get(key, figures.interval)
            low, high = max(low, figures.interval[0]), min(high, figures.interval[1])
            require(low <= high, f"claim {claim['id']!r}: contradicts another claim's average")
            averages[key] = low, high


def _figures(claim: Json, n: int) -> Iterator[tuple[Any, _Figures]]:
    if claim["form"] not in _SUMMARIES:
        return
    terms, batches = Terms.from_json(claim), claim["witness"]["batches"]
    for row, entry in zip(terms.rows, claim["witness"]["rows"], strict=True):
        named = [(terms.partitions[c.partition].groups[c.group], c.condition) for c in row.cells]
        conditions = [None if c is None else terms.conditions[c] for _, c in named]
        features = terms.partitions[row.cells[0].partition].features
        key = (terms.condition_on, features, frozenset(group for group, _ in named), conditions[0])
        if terms.form == "skipped":
            yield key, _Figures(batches - entry["batches"], n - entry["people"], None)
            continue
        served = terms.map == "served" and entry["lower"] is not None
        ends = [parse_decimal(entry[end]) for end in ("lower", "upper", "promise") if served and entry.get(end)]
        interval = (ends[0], min(ends[1:])) if served else None
        yield key, _Figures(entry["counted"], entry["people"], interval)
