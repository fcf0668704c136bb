"""A stream from the command line: served, logged, certified, gated, ingested again, tampered with."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from certifair.cli import lending, main
from certifair.evidence.log.header import Header, columns_of
from certifair.evidence.log.writer import LogWriter
from certifair.online import PrimalDual

GROUPS = 'metric = "demographic_parity"\nsensitive_features = ["sex", "age"]\n'
PAPER = (
    lending.STREAM.decode()
    .replace('online = "pooled"', 'online = "paper"\neta0 = 0.5')
    .replace("epochs = 30", "epochs = 2")
    .replace("window = 800", "window = 300")
)
FORMS = "".join(
    f'\n[[property]]\nid = "{form}"\nkind = "aggregate"\nform = "{form}"\n{GROUPS}epsilon = {epsilon}\n'
    for form, epsilon in (("weighted", 0.06), ("skipped", 0.5), ("bound", 0.1))
)
SMALL = """
[data]
sensitive_features = "sex"
[data.values]
sex = ["f", "m"]
[layer]
metric = "demographic_parity"
sensitive_features = "sex"
epsilon = 0.05
[serve]
online = "paper"
[[property]]
id = "pooled"
kind = "aggregate"
metric = "demographic_parity"
sensitive_features = "sex"
epsilon = 0.5
"""


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    (folder / "people.csv").write_bytes(b"".join(lending.table().splitlines(keepends=True)[:1501]))
    (folder / "paper.toml").write_text(PAPER + FORMS, encoding="utf-8")
    assert run("keygen", "--out", folder / "key.pem") == 0
    made = ("--policy", folder / "paper.toml", "--data", folder / "people.csv", "--key", folder / "key.pem")
    assert run("train", *made, "--out", folder / "run", "--plots", folder / "plots") == 0
    return folder


def written(folder: Path, people: int = 200) -> Path:
    """A log that a service of one's own wrote."""
    draw = np.random.default_rng(3)
    algorithm = PrimalDual("demographic_parity", "0.05", features=["sex"], values={"sex": ["f", "m"]})
    header = Header("mine", None, algorithm.description, columns_of(["sex"], algorithm.row_names))
    state = algorithm.init()
    with LogWriter.create(folder, header, None, lambda: 0, segment_records=64) as log:
        for start in range(0, people, 8):
            sex = ["f" if u < 0.4 else "m" for u in draw.random(8)]
            scores = draw.random(8)
            state, predictions, record = algorithm.step(state, scores, {"sex": sex})
            ids = [f"p{k}" for k in range(start, start + 8)]
            log.append(ids, {"sex": sex}, scores, predictions, record.columns)
        log.seal()
    return folder


def test_a_stream_is_served_certified_verified_and_gated(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certificate, key = place / "stream.json", ("--public-key", place / "key.pub.pem")
    code = run("certify", place / "run", "--key", place / "key.pem", "--out", certificate)
    said = capsys.readouterr().out
    assert {name for name in ("weighted", "skipped", "bound", "steps", "chain", "replay") if f"{name}:" in said} == {
        "weighted", "skipped", "bound", "steps", "chain", "replay",
    }  # fmt: skip
    assert code in (0, 1)  # the paper's algorithm does not promise the pooled gap
    assert run("verify", certificate, *key, "--evidence", place / "run") == code
    loose = (place / "paper.toml").read_text(encoding="utf-8").replace("epsilon = 0.02\n", "epsilon = 0.3\n")
    (place / "loose.toml").write_text(loose, encoding="utf-8")
    assert run("gate", certificate, "--policy", place / "loose.toml", *key) == 0
    (place / "other.toml").write_text(loose.replace("after = 400", "after = 300"), encoding="utf-8")
    capsys.readouterr()
    assert run("gate", certificate, "--policy", place / "other.toml", *key) == 3
    assert "span" in capsys.readouterr().out
    assert (place / "plots" / "gap-over-time.png").stat().st_size > 1000


def test_the_head_of_the_log_is_signed(place: Path, tmp_path: Path) -> None:
    from certifair.certificate.keys import load_public_key
    from certifair.certificate.log_head import open_head
    from certifair.errors import UntrustedError
    from certifair.evidence.log.reader import read_log

    log = read_log(place / "run" / "log")
    key = load_public_key(place / "key.pub.pem")
    assert run("keygen", "--out", tmp_path / "key.pem") == 0
    stranger = tmp_path / "key.pub.pem"
    assert log.statement is not None
    assert open_head(log.statement, [key], "head.json") == log.state
    with pytest.raises(UntrustedError, match="log"):
        open_head(b"{}", [key], "head.json")
    with pytest.raises(UntrustedError, match="log"):
        open_head(log.statement, [load_public_key(stranger)], "head.json")


def test_a_log_of_ones_own_becomes_a_bundle(tmp_path: Path, place: Path) -> None:
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    log = written(tmp_path / "log")
    assert run("ingest", log, "--policy", tmp_path / "small.toml", "--out", tmp_path / "run") == 0
    assert run("certify", tmp_path / "run", "--key", place / "key.pem", "--out", tmp_path / "c.json") == 0
    assert (
        run("verify", tmp_path / "c.json", "--public-key", place / "key.pub.pem", "--evidence", tmp_path / "run") == 0
    )


def test_a_log_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small.toml").write_text(SMALL, encoding="utf-8")
    monkeypatch.chdir(written(tmp_path / "log"))
    assert run("ingest", ".", "--policy", tmp_path / "small.toml", "--out", tmp_path / "run") == 0
    assert sorted(path.name for path in (tmp_path / "run" / "log").iterdir())[0] == "00000001.parquet"


@pytest.mark.parametrize(
    ("fault", "code"),
    [("edit", 4), ("drop", 4), ("policy", 2), ("feature", 2), ("multipliers", 2), ("unsealed", 2)],
)
def test_what_is_no_log_of_the_policy_is_refused(
    fault: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, policy, more = written(tmp_path / "log"), SMALL, []
    segment = log / "00000002.parquet"
    if fault == "edit":
        table = pq.read_table(segment)
        changed = table.column("prediction").to_pylist()
        changed[5] += 0.25
        table = table.set_column(table.column_names.index("prediction"), "prediction", [changed])
        pq.write_table(table, segment, store_schema=False)
    elif fault == "drop":
        segment.unlink()
    elif fault == "policy":
        policy = SMALL.replace("epsilon = 0.05", "epsilon = 0.04")
    elif fault == "feature":
        policy = SMALL.replace('sensitive_features = "sex"', 'sensitive_features = "age"').replace("sex =", "age =")
    elif fault == "multipliers":
        more = ["--multipliers", segment]
    else:
        shutil.rmtree(log)
        log.mkdir()
    (tmp_path / "small.toml").write_text(policy, encoding="utf-8")
    assert run("ingest", log, "--policy", tmp_path / "small.toml", "--out", tmp_path / "run", *more) == code
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_log_changed_after_bundling_is_untrusted(place: Path, tmp_path: Path) -> None:
    certificate = tmp_path / "c.json"
    run("certify", place / "run", "--key", place / "key.pem", "--out", certificate)
    shutil.copytree(place / "run", tmp_path / "run")
    (tmp_path / "run" / "log" / "00000001.parquet").unlink()
    assert run("verify", certificate, "--public-key", place / "key.pub.pem", "--evidence", tmp_path / "run") == 4
    shutil.rmtree(tmp_path / "run" / "log")
    assert run("verify", certificate, "--public-key", place / "key.pub.pem", "--evidence", tmp_path / "run") == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("eta0 = 0.5", "eta0 = 0"),
        ('online = "paper"', 'online = "pooled"'),
        ('form = "moment"', 'form = "moments"'),
        ("after = 400", "window = 400"),
        ('form = "skipped"\nmetric = "demographic_parity"', 'form = "skipped"\nmetric = "equalized_odds"'),
        ('form = "bound"\nmetric', 'form = "chain"\nmetric'),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(
    change: str, said: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (place / "paper.toml").read_text(encoding="utf-8")
    assert change in text
    (tmp_path / "bad.toml").write_text(text.replace(change, said), encoding="utf-8")
    code = run("train", "--policy", tmp_path / "bad.toml", "--data", place / "people.csv", "--out", tmp_path / "run")
    assert code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_an_audit_asks_who_signed_the_head(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, key = place / "run" / "log", place / "key.pub.pem"
    assert run("audit", log) == 0
    assert "was not asked" in capsys.readouterr().out
    assert run("audit", log, "--public-key", key) == 0
    assert "signed by the given key" in capsys.readouterr().out
    assert run("keygen", "--out", tmp_path / "key.pem") == 0
    assert run("audit", log, "--public-key", tmp_path / "key.pub.pem") == 4
    unsigned = written(tmp_path / "unsigned")
    assert run("audit", unsigned) == 0
    assert run("audit", unsigned, "--public-key", key) == 4
    assert "nobody signed it" in capsys.readouterr().err


def test_a_truncated_log_is_found_without_a_key(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last segment and what it held are gone, the head is still there."""
    from certifair.cli.train import log_keeping

    keeping = log_keeping(place / "key.pem")
    header = Header("short", None, None, columns_of(["sex"]))
    with LogWriter.create(tmp_path / "log", header, keeping.sign, lambda: 0, segment_records=2) as log:
        for k in range(3):
            log.append([f"{k}a", f"{k}b"], {"sex": ["f", "m"]}, [0.25, 0.75], [0.25, 0.75])
    assert run("audit", tmp_path / "log") == 0
    (tmp_path / "log" / "00000003.parquet").unlink()
    assert run("audit", tmp_path / "log") == 4
    assert "segment 3" in capsys.readouterr().err
