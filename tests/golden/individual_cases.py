"""Runs with a network, about decisions that do not depend on some of its inputs: of every verdict, rows and domains."""

from __future__ import annotations

import random
from array import array

from certifair.evidence.witness import COUNTED, ENUMERATED, FIBRES, SPLIT, TRIMMED, Tree
from tests.golden.cases import NETWORKED, Case, Columns, changed, head, people, prop, scored_by
from tests.golden.network import CREDIT

WHOLE = '[domain]\nhours = { kind = "integer", low = 0, high = 6 }\n'
FINITE = WHOLE + 'income = { kind = "integer", low = 0, high = 3 }\n'
RANGES = WHOLE + 'income = { kind = "continuous", low = 0.1, high = 3 }\n'
HOURS, INCOME = 1, 2  # features of the domain


def applicants(seed: int, n: int) -> Columns:
    """People whose income is a multiple of 1/4 from 0 to 3, so a float32 number."""
    draw = random.Random(seed)
    columns = changed(
        people(seed, n), hours=lambda row, k: draw.randrange(7), income=lambda row, k: draw.randrange(13) / 4
    )
    return scored_by(CREDIT, columns)


def beyond(columns: Columns, odd: dict[int, float]) -> Columns:
    """Some people work other hours than the domain knows."""
    return scored_by(CREDIT, changed(columns, hours=lambda row, k: odd.get(k, row["hours"])))


def asked(name: str, share: str, more: str = "", features: str = '"sex"') -> str:
    return prop(name, f'kind = "individual"\nshare = {share}\n{more}', features)


def tree(*nodes: tuple[int, int, float]) -> Tree:
    """Kind, feature and cut of each node."""
    kind, feature, cut = zip(*nodes, strict=True)
    return Tree(bytes(kind), array("H", feature), array("d", cut))


def halved(depth: int, leaf: tuple[int, int, float]) -> Tree:
    """Both inputs of the domain halved in turn, down to hours of their own and such leaves."""
    nodes: list[tuple[int, int, float]] = []
    level = [((0.0, 6.0), (0.1, 3.0))]
    for step in range(depth + 1):
        coming = []
        for hours, income in level:
            if step == depth:
                nodes.append(leaf)
            elif hours[0] < hours[1] and (step < depth - 2 or step % 2):
                cut = (hours[0] + hours[1] + 1) // 2
                nodes.append((SPLIT, HOURS, cut))
                coming += [((hours[0], cut - 1), income), ((cut, hours[1]), income)]
            else:
                middle = (income[0] + income[1]) / 2
                nodes.append((SPLIT, INCOME, middle))
                coming += [(hours, (income[0], middle)), (hours, (middle, income[1]))]
        level = coming
    return tree(*nodes)


def _credit(name: str, verdict: str, text: str, columns: Columns, **more: Tree) -> Case:
    return Case(name, head(system=NETWORKED) + text, columns, verdict, network=CREDIT, trees=more)


def individual_cases() -> list[Case]:
    sampled = applicants(41, 30)
    stray = beyond(applicants(42, 24), {3: 9, 7: 2.5, 11: -1})
    domain = 'form = "domain"\n'
    return [
        _credit(
            "individual",
            "PASS",
            WHOLE + asked("sex", "0.6") + asked("moved", "0.3", "relaxed = { hours = 1 }\n"),
            beyond(sampled, {5: 8}),
        ),
        _credit(
            "individual-single",
            "PASS",
            WHOLE
            + asked("age", "1", features='"age"')
            + asked("single", "0.6", 'method = "float32"\n', '"sex", "age"'),
            beyond(sampled, {5: 8}),
        ),
        _credit(
            "individual-fail",
            "FAIL",
            RANGES.replace("0.1", "0")
            + asked("sex", "0.99")
            + asked("moved", "0.9", "relaxed = { hours = 1, income = 0.1 }\n"),
            sampled,
        ),
        _credit("individual-undecided", "UNDECIDED", WHOLE + asked("sex", "0.8"), stray),
        _credit("individual-served", "UNDECIDED", WHOLE + asked("sex", "0.1", 'map = "served"\n'), stray),
        Case("individual-no-network", head() + WHOLE + asked("sex", "0.1"), people(43, 30), "UNDECIDED"),
        _credit(
            "individual-finite",
            "FAIL",
            FINITE + asked("sex", "0.8", domain) + asked("moved", "0.9", domain + "relaxed = { hours = 1 }\n"),
            sampled,
            sex=tree((ENUMERATED, 0, 0)),
            moved=tree((SPLIT, HOURS, 3), (ENUMERATED, 0, 0), (ENUMERATED, 0, 0)),
        ),
        _credit(
            "individual-domain",
            "UNDECIDED",
            RANGES
            + asked("sex", "0.5", domain)
            + asked("along", "0.5", domain)
            + asked("trimmed", "0.5", domain)
            + asked("unproven", "0.1", domain),
            sampled,
            sex=halved(5, (COUNTED, 0, 0)),
            along=halved(4, (FIBRES, INCOME, 0)),
            trimmed=halved(5, (TRIMMED, 0, 0)),
        ),
    ]
