"""Group figures and the regulatory views derived from them (certificates/README.md 9.1 and 9.7)."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from certifair.exact.decimals import PLACES, round_down
from certifair.spec import Json
from certifair.spec.groups import MISSING, Partition, partition_of
from certifair.spec.terms import Terms

FOUR_FIFTHS, LL144 = "ugesp-four-fifths/1978", "nyc-ll144-selection-rate/2023"


def partitions_shown(features: Iterable[str], claims: Iterable[Terms], values: Any) -> list[Partition]:
    """Every single feature, then the intersections that claims speak of."""
    claims = [terms for terms in claims if terms.kind != "individual"]  # whose features are inputs, not groups
    named = dict.fromkeys([*features, *(f for terms in claims for f in terms.sensitive_features)])
    singles = [partition_of([feature], values) for feature in named]
    products = dict.fromkeys(p for terms in claims for p in terms.partitions if len(p.features) > 1)
    return [*singles, *products]


def unknown_counts(groups: list[Json]) -> dict[str, int]:
    """People whose value of a feature is not known, a feature."""
    return {
        table["features"][0]: sum(cell["n"] for cell in table["cells"] if cell["value"] == [MISSING])
        for table in groups
        if len(table["features"]) == 1
    }


def regulatory_views(groups: list[Json], n: int) -> list[Json]:
    """Selection rates and impact ratios as two rules compute them. Figures, not legal findings."""
    return [view(table, n) for table in groups for view in (_four_fifths, _ll144)]


def _four_fifths(table: Json, n: int) -> Json:
    """29 CFR 1607.4 D: a rate below four fifths of the highest rate."""
    rates = [_rate(cell) for cell in table["cells"]]
    top = max((rate for rate in rates if rate is not None), default=Fraction(0))
    rows = []
    for cell, rate in zip(table["cells"], rates, strict=True):
        row, ratio = _row(cell, rate, top)
        rows.append({**row, "flag": "below 4/5"} if ratio is not None and ratio < Fraction(4, 5) else row)
    return _view(FOUR_FIFTHS, table, rows)


def _ll144(table: Json, n: int) -> Json:
    """6 RCNY § 5-300: rate over the highest rate; categories under 2% of the people may be left out."""
    small = [0 < 50 * cell["n"] < n for cell in table["cells"]]
    rates = [_rate(cell) for cell in table["cells"]]
    top = max((r for r, s in zip(rates, small, strict=True) if r is not None and not s), default=Fraction(0))
    rows = []
    for cell, rate, under in zip(table["cells"], rates, small, strict=True):
        row, _ = _row(cell, rate, top)
        rows.append({**row, "impactRatio": None, "flag": "under 2%"} if under else row)
    return _view(LL144, table, rows)


def _rate(cell: Json) -> Fraction | None:
    return Fraction(cell["positives"], cell["n"]) if cell["n"] else None


def _row(cell: Json, rate: Fraction | None, top: Fraction) -> tuple[Json, Fraction | None]:
    ratio = rate / top if rate is not None and top > 0 else None
    flag = "no data" if rate is None else "no selection" if ratio is None else "none"
    row = {
        "group": cell["value"],
        "n": cell["n"],
        "rate": None if rate is None else round_down(rate, PLACES),
        "impactRatio": None if ratio is None else round_down(ratio, PLACES),
        "flag": flag,
    }
    return row, ratio


def _view(name: str, table: Json, rows: list[Json]) -> Json:
    excluded = sum(row["n"] for row in rows if row["flag"] == "under 2%" or MISSING in row["group"])
    return {"id": name, "features": table["features"], "excluded": excluded, "rows": rows}
