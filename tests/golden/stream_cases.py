"""Runs of streams: with a log and without, of every form of kind `aggregate`, and of every verdict."""

from __future__ import annotations

from typing import Any

from tests.golden.cases import Case, changed, head, people, prop
from tests.golden.logs import Columns, served

GROUPS = 'kind = "aggregate"\nmetric = "demographic_parity"\n'


def stream_head(features: str, epsilon: str = "0.05", eta0: str = "0.5") -> str:
    """The part of a policy before its properties, of a system that serves online."""
    return f"""[data]
sensitive_features = ["sex", "age"]
[data.values]
sex = ["f", "m"]
age = ["old", "young"]
[system]
name = "golden"
version = "1"
[layer]
metric = "demographic_parity"
sensitive_features = [{features}]
epsilon = {epsilon}
lower = 0
upper = 1
[serve]
online = "paper"
eta0 = {eta0}
"""


def asked(name: str, form: str, epsilon: str, more: str = "", features: str = '"sex"') -> str:
    return prop(name, f'{GROUPS}form = "{form}"\nepsilon = {epsilon}\n{more}', features)


def _paper() -> Case:
    """Two features, batches of 1 to 5; in the first batch, of one person, no row counts."""
    both = '"sex", "age"'
    columns, log = served(people(31, 50, gap=0.3), [1, 2, 3, 4, 5], ["sex", "age"], epsilon="0.05", names_system=True)
    return Case(
        "stream-paper",
        stream_head(both)
        + asked("pooled", "pooled", "0.4", features=both)
        + asked("moment", "moment", "0.9", "after = 20\nmin_group_size = 1")
        + asked("window", "window", "0.95", "window = 12\nmin_group_size = 1")
        + asked("weighted", "weighted", "0.6", features=both)
        + asked("skipped", "skipped", "0.9", features=both)
        + asked("bound", "bound", "0.9", features=both),
        columns,
        "PASS",
        log=log,
    )


def _prior() -> Case:
    """One row, served in batches that hold both groups but for one, from a state that is not the first."""
    columns, log = served(
        changed(people(32, 40, gap=0.3), sex=lambda row, k: "m" if 8 <= k < 12 else row["sex"]),
        [4], ["sex"], epsilon="0.1", eta0="0.25", start=(3, (0.125,)), segment_records=1000, signed=False,
    )  # fmt: skip
    return Case(
        "stream-prior",
        stream_head('"sex"', "0.1", "0.25")
        + asked("bound", "bound", "0.6")
        + asked("weighted", "weighted", "0.6")
        + asked("skipped", "skipped", "0.1"),
        columns,
        "PASS",
        log=log,
    )


def _altered() -> Case:
    """The predictions of one batch were changed before they were logged: the next step does not follow."""
    columns, log = served(people(33, 24, gap=0.3), [4], ["sex"], epsilon="0.05", segment_records=12)
    moved = changed(columns, served=lambda row, k: row["served"] + (0.25 if k == 9 else 0))
    policy = stream_head('"sex"') + asked("bound", "bound", "0.9") + asked("weighted", "weighted", "0.9")
    return Case("stream-altered", policy, moved, "FAIL", log=log)


def _batches(columns: Columns, sizes: tuple[int, ...] = (1, 7, 3, 12, 5)) -> Columns:
    """The same people in batches of these sizes, over and over."""
    names = [f"b{k}" for k in range(len(columns["sex"])) for _ in range(sizes[k % len(sizes)])]
    return changed(columns, batch=lambda row, k: names[k])


def _foreign() -> Case:
    """A table without a log: scores and decisions, and parity within each region."""
    by_region = 'metric = "conditional_parity"\ncondition = "region"\n'

    def within(name: str, form: str, epsilon: str, more: str = "") -> str:
        return prop(name, f'kind = "aggregate"\nform = "{form}"\n{by_region}epsilon = {epsilon}\n{more}')

    fewest = "min_group_size = 1"
    return Case(
        "stream-foreign",
        head('"sex", "age"')
        + within("pooled", "pooled", "0.4", f'map = "scores"\n{fewest}')
        + asked("moment", "moment", "0.5", f'after = 25\nmap = "scores"\n{fewest}', '"sex", "age"')
        + asked("window", "window", "0.9", f'window = 15\nmap = "decisions"\nthreshold = 0.6\ntau = 0.01\n{fewest}')
        + within("weighted", "weighted", "0.8", 'map = "decisions"\nthreshold = 0.5')
        + asked("average", "weighted", "0.5", 'map = "scores"')
        + asked("skipped", "skipped", "0.9", "intersectional = true", '"sex", "age"')
        + within("skipped-within", "skipped", "0.95")
        + prop("batches", 'kind = "feasibility"\nmetric = "demographic_parity"\nepsilon = 1\nmin_group_size = 0'),
        _batches(people(34, 60)),
        "UNDECIDED",
    )


def stream_cases() -> list[Case]:
    small = _batches(people(35, 40, gap=0.4))
    fewest = "min_group_size = 1"
    few: list[Any] = [asked("moment", "moment", "1", f"after = 41\n{fewest}")]
    few += [asked("window", "window", "1", f"window = 100\n{fewest}"), asked("pooled", "pooled", "1")]
    worse = [asked("pooled", "pooled", "0.1"), asked("weighted", "weighted", "0.01"), asked("skipped", "skipped", "0")]
    worse += [asked("moment", "moment", "0.1", f"after = 30\n{fewest}"), asked("window", "window", "0.9", "window = 9")]
    return [
        _paper(),
        _prior(),
        _altered(),
        _foreign(),
        Case("stream-few", head() + "".join(few), small, "UNDECIDED"),
        Case("stream-fail", head() + "".join(worse), small, "FAIL"),
    ]
