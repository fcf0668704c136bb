"""`certifair audit`: what it shows, what it judges, and its exit codes."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from certifair.evidence.canonical import canonical, sha256
from certifair.evidence.log import Header, LogWriter, columns_of
from tests.cli.conftest import Run
from tests.evidence.audit_cases import expected, people, write

POLICY = """
[data]
sensitive_features = ["sex", "race"]
missing = "group"
[data.values]
sex = ["f", "m"]
race = ["a", "b", "c"]
[predictions]
prediction = "prediction"
score = "score"
"""
STRICT = POLICY.replace('missing = "group"', 'missing = "error"')
POOLED = """
[[property]]
id = "{id}"
kind = "aggregate"
form = "pooled"
metric = "{metric}"
sensitive_features = {features}
epsilon = {epsilon}
{more}
"""


def policy(folder: Path, *properties: str, head: str = STRICT) -> Path:
    path = folder / "policy.toml"
    path.write_text(head + "".join(properties))
    return path


def pooled(
    epsilon: str, name: str = "parity", features: str = '"sex"', metric: str = "demographic_parity", more: str = ""
) -> str:
    return POOLED.format(id=name, metric=metric, features=features, epsilon=epsilon, more=more)


@pytest.fixture
def log(tmp_path: Path) -> tuple[Path, dict[str, list[Any]]]:
    table = people(600)
    return write(table, tmp_path / "log.parquet"), table


def gap(table: dict[str, list[Any]], key: str, value: str = "prediction") -> Fraction:
    means = [total / n for n, total, _ in expected(table, [key], value).values()]
    return max(means) - min(means)


def test_without_a_policy_everything_is_shown(
    log: tuple[Path, dict[str, list[Any]]], certifair: Run, tmp_path: Path
) -> None:
    path, table = log
    out = tmp_path / "audit.json"
    columns = ("--prediction", "prediction", "--group", "sex", "--group", "race", "--score", "score")
    done = certifair("audit", path, *columns, "--json", out)
    assert (done.code, done.err) == (0, "")
    assert "1 file, 600 rows, 600 counted" in done.out
    assert "(missing)" in done.out
    found = json.loads(out.read_bytes())
    assert out.read_bytes() == canonical(found) + b"\n"
    assert found["verdict"] is None
    assert found["evidenceSha256"] == sha256(canonical(found["evidence"]))
    assert found["evidenceSha256"] in done.out
    exact = {row["row"]: row["exact"] for row in found["findings"][0]["rows"]}
    assert Fraction(exact["sex: f - m"]) == gap(table, "sex")
    assert max(Fraction(v) for k, v in exact.items() if k.startswith("race")) == gap(table, "race")
    scores = {row["row"]: row["exact"] for row in found["findings"][1]["rows"]}
    assert Fraction(scores["sex: f - m"]) == gap(table, "sex", "score")
    sums = expected(table, ["sex"])
    assert all(str(total) in done.out for _, total, _ in sums.values())
    rates = {values: Fraction(above, n) for values, (n, _, above) in sums.items()}
    shown = found["findings"][0]["rows"][0]["decisionValue"]
    assert abs(Fraction(shown) - abs(rates[("f",)] - rates[("m",)])) < Fraction(1, 10**11)


def test_conditions_and_intersections(log: tuple[Path, dict[str, list[Any]]], certifair: Run, tmp_path: Path) -> None:
    path, table = log
    out = tmp_path / "audit.json"
    done = certifair(
        "audit", path, "--prediction", "prediction", "--group", "sex", "--condition", "race", "--json", out
    )
    assert done.code == 0
    cells = expected(table, ["sex", "race"])
    rows = {row["row"]: Fraction(row["exact"]) for row in json.loads(out.read_bytes())["findings"][0]["rows"]}
    for race in ("a", "b", "c", "(missing)"):
        means = [cells[(sex, race)][1] / cells[(sex, race)][0] for sex in "fm"]
        assert rows[f"sex | race={race}: f - m"] == abs(means[0] - means[1])
    both = ("--group", "sex", "--group", "race", "--intersectional", "--threshold", "0.25")
    assert certifair("audit", path, "--prediction", "prediction", *both, "--json", out).code == 0
    found = json.loads(out.read_bytes())
    assert len(found["findings"][0]["rows"]) == 8 * 7 // 2
    assert found["evidence"]["thresholds"] == ["0.25"]
    positives = sum(cell["positives"][0] for cell in found["evidence"]["cells"])
    assert positives == sum(x > 0.25 for x in table["prediction"])


def test_the_verdict_is_the_policys(log: tuple[Path, dict[str, list[Any]]], certifair: Run, tmp_path: Path) -> None:
    path, table = log
    exact = gap(table, "sex")
    above = f"{float(exact) + 1e-6:.9f}"
    below = f"{float(exact) - 1e-6:.9f}"
    passed = certifair("audit", path, "--policy", policy(tmp_path, pooled(above)))
    assert passed.code == 0
    assert passed.out.endswith("verdict: PASS\n")
    failed = certifair("audit", path, "--policy", policy(tmp_path, pooled(below)))
    assert failed.code == 1
    assert f"verdict: FAIL: parity (sex: f - m: {float(exact):.6f}, demanded at most {below})" in failed.out
    assert certifair("audit", path, "--policy", policy(tmp_path, pooled(below, more="tau = 0.00001"))).code == 0
    small = certifair("audit", path, "--policy", policy(tmp_path, pooled(above, more="min_group_size = 400")))
    assert small.code == 3
    assert "fewer than 400" in small.out
    by_decisions = pooled("0", "decided", more='map = "decisions"\nthreshold = 1')
    assert certifair("audit", path, "--policy", policy(tmp_path, pooled(above), by_decisions)).code == 0
    scores = pooled(below, "scored", more='map = "scores"')
    code = 0 if gap(table, "sex", "score") <= Fraction(below) else 1
    assert certifair("audit", path, "--policy", policy(tmp_path, scores)).code == code
    conditional = pooled("1", "each", metric="conditional_parity", more='condition = "race"')
    assert certifair("audit", path, "--policy", policy(tmp_path, conditional, head=POLICY)).code == 3
    table["race"] = [race or "a" for race in table["race"]]
    write(table, path)
    assert certifair("audit", path, "--policy", policy(tmp_path, conditional)).code == 0


def test_other_properties_are_not_judged_and_say_so(log: tuple[Path, Any], certifair: Run, tmp_path: Path) -> None:
    other = POOLED.replace('kind = "aggregate"\nform = "pooled"', 'kind = "feasibility"')
    other = other.format(id="x", metric="demographic_parity", features='"sex"', epsilon="1", more="")
    done = certifair("audit", log[0], "--policy", policy(tmp_path, other, head=POLICY))
    assert done.code == 3
    assert "1 of the policy's properties are no pooled aggregates" in done.out
    assert done.out.endswith("verdict: UNDECIDED: no pooled property to judge\n")


def test_a_policys_names_must_fit(certifair: Run, tmp_path: Path) -> None:
    table = people(100)
    table["sex"][7] = "x\x1b[2J"
    write(people(100, 5), tmp_path / "a.parquet")
    write(table, tmp_path / "b.parquet")
    files = (tmp_path / "a.parquet", tmp_path / "b.parquet")
    undeclared = certifair("audit", *files, "--policy", policy(tmp_path, pooled("1")))
    assert undeclared.code == 2
    assert "b.parquet: the value 'x\\x1b[2J' of 'sex', in 1 rows, is not declared" in undeclared.err
    missing = certifair("audit", files[0], "--policy", policy(tmp_path, pooled("1", features='"race"')))
    assert missing.code == 2
    assert f"a.parquet: 'race' is missing in {table_missing(people(100, 5))} rows" in missing.err
    table["sex"][7] = "f"
    table["prediction"][3] = float("nan")
    write(table, tmp_path / "b.parquet")
    unusable = certifair("audit", *files, "--policy", policy(tmp_path, pooled("1")))
    assert unusable.code == 2
    assert "b.parquet: prediction is not finite in 1 row, for example 'nan'" in unusable.err
    columns = ("--prediction", "prediction", "--group", "sex")
    assert "excluded: 1 (prediction is not finite)" in certifair("audit", *files, *columns).out
    wrong = certifair("audit", files[0], "--policy", policy(tmp_path, pooled("1")), "--group", "sx=sex")
    assert (wrong.code, "did you mean 'sex'?" in wrong.err) == (2, True)
    both = certifair("audit", files[0], "--policy", policy(tmp_path, pooled("1")), "--threshold", "0.5")
    assert "does not go with --policy" in both.err
    assert certifair("audit", files[0], *columns, "--threshold", "1e-3").code == 2


def table_missing(table: dict[str, list[Any]]) -> int:
    return table["race"].count(None)


def test_a_policy_without_any_group_is_an_error(log: tuple[Path, Any], certifair: Run, tmp_path: Path) -> None:
    feasible = '[[property]]\nid = "a"\nkind = "feasibility"\nmetric = "demographic_parity"\n'
    bare = tmp_path / "bare.toml"
    bare.write_text(
        '[predictions]\nprediction = "prediction"\n' + feasible + 'sensitive_features = "sex"\nepsilon = 0.1\n'
    )
    done = certifair("audit", log[0], "--policy", bare)
    assert done.code == 2
    assert "names no group" in done.err


def test_what_is_read_is_not_written_over(log: tuple[Path, Any], certifair: Run) -> None:
    before = log[0].read_bytes()
    done = certifair("audit", log[0], "--prediction", "prediction", "--group", "sex", "--json", log[0])
    assert (done.code, log[0].read_bytes() == before) == (2, True)


def own_log(folder: Path) -> dict[str, list[Any]]:
    """Three batches, two segments, by the log's own writer."""
    table = people(300)
    table["race"] = [race or "a" for race in table["race"]]
    header = Header("a log", None, None, columns_of(["sex", "race"]))
    with LogWriter.create(folder, header, sign=None, clock=iter(range(1, 999)).__next__) as writer:
        for start in (0, 100, 200):
            part = {name: column[start : start + 100] for name, column in table.items()}
            features = {"sex": part["sex"], "race": part["race"]}
            writer.append([str(start + k) for k in range(100)], features, part["score"], part["prediction"])
            if start:
                writer.seal()
    return table


def test_a_log_of_certifair_needs_no_names(certifair: Run, tmp_path: Path) -> None:
    table = own_log(tmp_path / "log")
    out = tmp_path / "audit.json"
    done = certifair("audit", tmp_path / "log", "--json", out)
    assert done.code == 0, done.err
    found = json.loads(out.read_bytes())
    assert found["evidence"]["columns"] == ["sex", "race"]
    (log,) = found["evidence"]["logs"]
    assert (log["id"], log["segments"], log["records"]) == ("a log", 2, 300)
    assert Fraction(found["findings"][0]["rows"][0]["exact"]) == gap(table, "sex")
    assert Fraction(found["findings"][1]["rows"][0]["exact"]) == gap(table, "sex", "score")
    assert "its chain holds" in done.out
    judged = certifair("audit", tmp_path / "log", "--policy", policy(tmp_path, pooled("1")))
    assert judged.code == 0, judged.err
    alone = certifair("audit", tmp_path / "log" / "00000002.parquet")
    assert "whose chain was not checked" in alone.out


def test_a_log_that_was_changed_is_not_trusted(certifair: Run, tmp_path: Path) -> None:
    own_log(tmp_path / "log")
    segment = tmp_path / "log" / "00000001.parquet"
    table = pq.read_table(segment)
    changed = table.set_column(table.schema.get_field_index("prediction"), "prediction", table["score"])
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), segment)
    done = certifair("audit", tmp_path / "log")
    assert done.code == 4
    assert done.out == "verdict: UNTRUSTED: the log's own chain does not hold\n"
    assert "untrusted [log]" in done.err
    assert "segment 1" in done.err
    segment.unlink()
    assert certifair("audit", tmp_path / "log").code == 4


def test_progress_is_for_terminals(log: tuple[Path, Any], certifair: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = ("--prediction", "prediction", "--group", "sex")
    quiet = certifair("audit", log[0], *columns)
    assert quiet.err == ""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda self: self is sys.stderr, raising=False)
    shown = certifair("audit", log[0], *columns)
    assert shown.out == quiet.out
    assert shown.err.startswith("\x1b[?25l")  # the bars hide the cursor, and are gone before they are drawn here


def test_words_of_strangers_stay_words(certifair: Run, tmp_path: Path) -> None:
    table = people(20)
    odd = {
        "[red]sex\x1b[2J": ["::error::x\n" if v == "f" else "[bold]m" for v in table["sex"]],
        "p": table["prediction"],
    }
    path = write(odd, tmp_path / "log.parquet")
    done = certifair("audit", path, "--prediction", "p", "--group", "[red]sex\x1b[2J")
    assert done.code == 0
    assert "\x1b" not in done.out
    assert "[red]sex\\x1b[2J" in done.out
    assert not any(line.startswith("::") for line in done.out.splitlines())
