"""An audit told: as JSON for programs, as tables for people. Names are strangers' words: none is trusted."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from certifair.evidence.audit.judge import Finding, RowFound
from certifair.evidence.audit.run import Audit
from certifair.evidence.audit.tally import Counted, Values
from certifair.evidence.canonical import canonical, sha256
from certifair.exact.decimals import PLACES, format_decimal, format_rational, round_down, round_up
from certifair.spec import Json
from certifair.spec.printable import printable
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 120
SHOWN = 30
"""Lines of a table for people; JSON has all of them."""


def to_json(audit: Audit) -> bytes:
    """RFC 8785 JSON, the same from every engine: the evidence, its digest, and what follows from it."""
    return canonical(
        {
            "evidence": json.loads(audit.evidence),
            "evidenceSha256": sha256(audit.evidence),
            "verdict": None if audit.verdict is None else audit.verdict.value,
            "findings": [_finding(found) for found in audit.findings],
            "notes": list(audit.notes),
        }
    )


def _finding(found: Finding) -> Json:
    terms = found.terms
    return {
        "id": terms.id,
        "metric": terms.metric_name,
        "map": terms.map,
        "sensitiveFeatures": list(terms.sensitive_features),
        "intersectional": terms.intersectional,
        "conditionOn": terms.condition_on,
        "threshold": None if found.verdict is None else format_decimal(terms.threshold),
        "tau": None if found.verdict is None else format_decimal(terms.tau),
        "decisionThreshold": format_decimal(terms.decision_threshold),
        "verdict": None if found.verdict is None else found.verdict.value,
        "reason": found.reason,
        "estimate": _up(found.estimate),
        "decisionGap": _up(found.decision_gap),
        "rows": [
            {
                "row": row.name,
                "exact": None if row.value is None else format_rational(row.value),
                "value": _up(row.value),
                "decisionValue": _up(row.decision_value),
                "smallestGroup": row.smallest,
                "verdict": None if row.verdict is None else row.verdict.value,
            }
            for row in found.rows
        ],
    }


def _up(value: Fraction | None) -> str | None:
    """Rounded towards the unfavourable side."""
    return None if value is None else round_up(value, PLACES)


def to_text(audit: Audit) -> str:
    """Tables without colours, the same on a terminal and in a log file; in the last line the verdict, if any."""
    from rich.console import Console

    page = io.StringIO()
    console = Console(file=page, width=WIDTH, color_system=None, force_terminal=False, force_jupyter=False)
    for line in _head(audit):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for features in _groupings(audit):
        console.print(_group_table(audit, features))
    for found in audit.findings:
        console.print(_row_table(found))
    for line in [*_notes(audit), *_tail(audit)]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return page.getvalue()


def _head(audit: Audit) -> Iterator[str]:
    tally = audit.tally
    files = "1 file" if len(tally.files) == 1 else f"{len(tally.files)} files"
    yield f"{files}, {tally.rows} rows, {tally.counted} counted"
    for reason, rows in sorted(tally.excluded.items()):
        yield f"excluded: {rows} ({reason})"


def _notes(audit: Audit) -> list[str]:
    return [f"note: {printable(note)}" for note in audit.notes]


def _tail(audit: Audit) -> Iterator[str]:
    for found in audit.findings:
        name = printable(found.terms.id)
        if found.estimate is not None:
            exact = format_rational(found.estimate)
            shown = f" = {exact}" if len(exact) <= WIDTH else ""
            yield f"largest gap, {name}: {_up(found.estimate)}{shown}; of decisions: {_up(found.decision_gap)}"
        else:
            yield f"largest gap, {name}: none: no two groups have enough people"
    yield f"evidence: sha256 {sha256(audit.evidence)}"
    if audit.verdict is not None:
        reasons = [
            f"{printable(f.terms.id)} ({printable(f.reason)})" for f in audit.findings if f.verdict is audit.verdict
        ]
        guilty = "" if audit.verdict is Verdict.PASS else "; ".join(reasons) or "no pooled property to judge"
        yield f"verdict: {audit.verdict.value}" + (f": {guilty}" if guilty else "")


def _groupings(audit: Audit) -> list[tuple[str, ...]]:
    """Every key by itself, then every intersection that is spoken of."""
    products = [p.features for found in audit.findings for p in found.terms.partitions if len(p.features) > 1]
    return list(dict.fromkeys([*((key,) for key in audit.tally.keys), *products]))


def _group_table(audit: Audit, features: tuple[str, ...]) -> Table:
    tally = audit.tally
    threshold = tally.thresholds[0]
    table = _table(printable(" × ".join(features)))
    for title in ("people", "mean", f"above {format_decimal(threshold)}", "rate"):
        table.add_column(title, justify="right")
    table.add_column("sum", justify="right", overflow="fold", ratio=1)
    if "score" in tally.measures:
        table.add_column("mean score", justify="right")
    ranks = {key: {value: i for i, value in enumerate(tally.values(key))} for key in features}
    cells = tally.merged(features)
    order = sorted(cells, key=lambda values: [ranks[key][value] for key, value in zip(features, values, strict=True)])
    for values in order[:SHOWN]:
        table.add_row(*map(_text, _group_cells(values, cells[values], tally.measures)))
    _add_rest(table, len(order))
    return table


def _group_cells(values: Values, cell: Counted, measures: Sequence[str]) -> list[str]:
    total, above = cell.sums[0], cell.positives[0][0]
    found = [", ".join(values), str(cell.n), _down(total / cell.n), str(above), _down(Fraction(above, cell.n))]
    exact = format_rational(total)
    found.append(exact if len(exact) <= 80 else f"{float(total):.6g} (exactly: --json)")
    return [*found, _down(cell.sums[1] / cell.n)] if "score" in measures else found


def _row_table(found: Finding) -> Table:
    table = _table(f"gaps: {printable(found.terms.id)}")
    for title in ("gap", "of decisions", "smallest"):
        table.add_column(title, justify="right")
    if found.verdict is not None:
        table.add_column(f"at most {format_decimal(found.terms.threshold)}")
    order = [Verdict.FAIL, Verdict.UNDECIDED, Verdict.PASS, None]

    def worst_first(row: RowFound) -> tuple[int, Fraction]:
        return order.index(row.verdict), -(row.value if row.value is not None else Fraction(-1))

    for row in sorted(found.rows, key=worst_first)[:SHOWN]:
        figures = [_up(row.value) or "–", _up(row.decision_value) or "–", str(row.smallest)]
        verdict = [] if row.verdict is None else [row.verdict.value]
        table.add_row(*map(_text, [row.name, *figures, *verdict]))
    _add_rest(table, len(found.rows))
    return table


def _table(title: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SQUARE, width=WIDTH)
    table.add_column(_text(title), ratio=1, overflow="fold")
    return table


def _add_rest(table: Table, lines: int) -> None:
    if lines > SHOWN:
        table.add_row(_text(f"… and {lines - SHOWN} more (all of them: --json)"))


def _text(words: str) -> Any:
    from rich.text import Text

    return Text(printable(words), overflow="fold")


def _down(value: Fraction) -> str:
    """Six digits after the point, for reading only."""
    return round_down(value, 6) if abs(value) < 10**9 else f"{float(value):.6g}"
