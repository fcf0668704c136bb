"""The gate judges a certificate's witnesses by the relying party's own demands; what nobody answered is undecided."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from certifair.certificate.certify import certify_bundle
from certifair.certificate.sign import signer_of
from certifair.certificate.verify import Verified
from certifair.errors import PolicyError, UntrustedError
from certifair.evidence.ingest import ingest
from certifair.gate import outputs
from certifair.gate.evaluate import GateResult, evaluate
from certifair.spec.policy import Policy
from certifair.spec.verdict import Verdict
from tests.golden.cases import CASES as RUNS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PASS, FAIL, UNDECIDED = Verdict
HEAD = """
[data]
label = "label"
sensitive_features = ["sex", "race"]
[data.values]
sex = ["f", "m"]
race = ["a", "b", "c"]
town = ["x", "y"]
[predictions]
score = "score"
prediction = "served"
[system]
frozen = true
held_out = true
"""
OWNER = """
[[property]]
id = "sex"
kind = "feasibility"
metric = "demographic_parity"
sensitive_features = "sex"
epsilon = 0.5
[[property]]
id = "race"
kind = "feasibility"
metric = "demographic_parity"
sensitive_features = "race"
epsilon = 0.5
[[property]]
id = "town"
kind = "feasibility"
metric = "conditional_parity"
condition = "town"
sensitive_features = "sex"
epsilon = 0.5
[[property]]
id = "approved"
kind = "population"
metric = "demographic_parity"
sensitive_features = "sex"
epsilon = 0.5
"""
# f: 100 people served 1/4, 30 of them positive by score; m: 100 served 3/8, 60 positive. Race c: 5 people.
PEOPLE = pd.DataFrame(
    {
        "sex": ["f"] * 100 + ["m"] * 100,
        "race": (["a"] * 49 + ["b"] * 51) + (["a"] * 48 + ["b"] * 47 + ["c"] * 5),
        "town": ["x", "y"] * 100,
        "label": [0, 1] * 100,
        "score": [0.75] * 30 + [0.25] * 70 + [0.75] * 60 + [0.25] * 40,
        "served": [0.25] * 100 + [0.375] * 100,
    }
)


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> Verified:
    folder = tmp_path_factory.mktemp("gate")
    (folder / "policy.toml").write_text(HEAD + OWNER)
    ingest(PEOPLE, folder / "policy.toml", folder / "run")
    signer = signer_of(ec.derive_private_key(7, ec.SECP256R1()))
    predicate = certify_bundle(folder / "run", signer, now=NOW, serial="gate").predicate
    return Verified(Verdict(predicate["verdict"]), predicate, "the owner", None, with_evidence=False)


def demand(**changes: object) -> str:
    keys: dict[str, object] = {
        "id": "demand",
        "kind": "feasibility",
        "metric": "demographic_parity",
        "sensitive_features": "sex",
        "epsilon": Fraction(1, 8),
        **changes,
    }
    lines = [f"{k} = {v!r}" if isinstance(v, str) else f"{k} = {_toml(v)}" for k, v in keys.items() if v is not None]
    return "[[property]]\n" + "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{float(value)}"' if isinstance(value, Fraction) else str(value)


def judged(verified: Verified, policy: str, now: datetime = NOW) -> GateResult:
    return evaluate(verified, Policy.parse(policy.encode()), now)


SEX = '[data.values]\nsex = ["m", "f"]\n'
CASES: dict[str, tuple[str, Verdict]] = {
    "epsilon exactly at the gap": (demand(), PASS),
    "epsilon below the gap": (demand(epsilon="0.124999999999"), FAIL),
    "tau of the relying party": (demand(epsilon="0.124999999999", tau="0.000000000001"), PASS),
    "larger groups demanded": (demand(min_group_size=101), UNDECIDED),
    "a small group in the evidence": (demand(sensitive_features="race", epsilon="0.5"), UNDECIDED),
    "smaller groups granted, but the owner did not decide them": (
        demand(sensitive_features="race", epsilon="0.5", min_group_size=1),
        UNDECIDED,
    ),
    "another feature": (demand(sensitive_features=["sex", "race"]), UNDECIDED),
    "another metric": (demand(metric="equal_opportunity", epsilon="1"), UNDECIDED),
    "another map": (demand(map="scores", epsilon="1"), UNDECIDED),
    "another form": (demand(epsilon=None, ratio="0.1"), UNDECIDED),
    "another condition": (demand(metric="conditional_parity", condition="race", epsilon="1"), UNDECIDED),
    "the condition": (demand(metric="conditional_parity", condition="town"), PASS),
    "the condition, with values of which one is missing": (
        '[data.values]\ntown = ["x", "y", "z"]\n' + demand(metric="conditional_parity", condition="town"),
        UNDECIDED,
    ),
    "groups as declared, in any order": (SEX + demand(), PASS),
    "a group that the owner does not know": ('[data.values]\nsex = ["f", "m", "x"]\n' + demand(), UNDECIDED),
    "a group that the relying party does not know": (
        '[data.values]\nrace = ["a", "b"]\n' + demand(sensitive_features="race", epsilon="1"),
        UNDECIDED,
    ),
    "population, passed": (demand(kind="population", epsilon="0.5"), PASS),
    "population, failed": (demand(kind="population", epsilon="0.05"), FAIL),
    "population, too small": (demand(kind="population", epsilon="0.35"), UNDECIDED),
    "more confidence than was certified": (demand(kind="population", epsilon="0.9", confidence="0.99"), UNDECIDED),
    "less confidence": (demand(kind="population", epsilon="0.5", confidence="0.9"), PASS),
    "repeated looks": (demand(kind="population", epsilon="0.9", method="beta_mixture"), UNDECIDED),
    "decisions at another threshold": (demand(kind="population", epsilon="0.9", threshold="0.6"), UNDECIDED),
    "a layer that nobody certified": (
        demand(kind="stability", epsilon=None, max_treatment_difference="1"),
        UNDECIDED,
    ),
    "one of two demands fails": (demand(id="a") + demand(id="b", epsilon="0.1"), FAIL),
    "one of two demands is unanswered": (demand(id="a") + demand(id="b", map="scores"), UNDECIDED),
    "a box that the owner did not certify": ("[layer]\nlower = 0\nupper = 1\n" + demand(), UNDECIDED),
    "nobody was left out": ("[gate]\nmax_excluded_share = 0\n" + demand(), PASS),
    "no registration": ("[gate]\nrequire_registration = true\n" + demand(), UNDECIDED),
}


@pytest.mark.parametrize("name", CASES)
def test_verdicts(verified: Verified, name: str) -> None:
    policy, verdict = CASES[name]
    result = judged(verified, policy)
    assert result.verdict is verdict
    assert bool(result) is (verdict is PASS)
    guilty = [item for item in result.properties if item.verdict is verdict]
    assert all(item.reason for item in guilty) or verdict is PASS


def test_an_undecided_population_demand_says_how_many_would_do(verified: Verified) -> None:
    (item,) = judged(verified, CASES["population, too small"][0]).properties
    assert "people would decide it" in item.reason


def test_groups_are_told_apart(verified: Verified) -> None:
    (item,) = judged(verified, demand(sensitive_features="race", epsilon="0.001")).properties
    verdicts = {group.name: group.verdict for group in item.groups}
    assert item.verdict is FAIL
    assert verdicts == {"race = a": FAIL, "race = b": FAIL, "race = c": UNDECIDED}


def test_a_policy_without_a_demand_is_an_error(verified: Verified) -> None:
    with pytest.raises(PolicyError, match="demands nothing"):
        judged(verified, SEX)


def test_too_old(verified: Verified) -> None:
    policy = "[gate]\nmax_age_days = 3\n" + demand()
    assert judged(verified, policy, NOW + timedelta(days=3)).verdict is PASS
    with pytest.raises(UntrustedError, match="more than 3 days ago"):
        judged(verified, policy, NOW + timedelta(days=3, seconds=1))


def test_python_entry_points(tmp_path: Path) -> None:
    import certifair
    import certifair.gate

    (tmp_path / "policy.toml").write_text(
        HEAD + OWNER.replace('"race"\nepsilon', '"race"\nmin_group_size = 1\nepsilon')
    )
    (tmp_path / "demands.toml").write_text(demand())
    certifair.certificate.sign.generate(tmp_path / "key.pem", None)  # type: ignore[attr-defined]
    certifair.ingest(PEOPLE, tmp_path / "policy.toml", tmp_path / "run")
    made = certifair.certify(tmp_path / "run", tmp_path / "key.pem", now=NOW, serial="s")
    (tmp_path / "c.json").write_bytes(made.content)
    keys = [tmp_path / "key.pub.pem"]
    assert certifair.verify(tmp_path / "c.json", keys, now=NOW, evidence=tmp_path / "run")
    assert certifair.gate.judge(tmp_path / "c.json", tmp_path / "demands.toml", keys, now=NOW)
    with pytest.raises(AttributeError):
        certifair.nothing  # noqa: B018


BOXED = (
    HEAD
    + "[layer]\nlower = 0\nupper = 1\n"
    + OWNER.split("[[property]]", maxsplit=1)[0]
    + demand(id="sex", epsilon="0.5", tau="0.5")
)


@pytest.fixture(scope="module")
def boxed(tmp_path_factory: pytest.TempPathFactory) -> Verified:
    """Served −0.25 … 1.25 under a box of [0, 1] and a tolerance of 1/2; a quarter of the rows left out."""
    folder = tmp_path_factory.mktemp("boxed")
    (folder / "policy.toml").write_text(BOXED.replace("[data]", '[data]\nsplit = "part"', 1))
    people = PEOPLE.assign(served=[-0.25, 1.25] * 100, part=["test", "test", "test", "train"] * 50)
    ingest(people, folder / "policy.toml", folder / "run")
    signer = signer_of(ec.derive_private_key(7, ec.SECP256R1()))
    predicate = certify_bundle(folder / "run", signer, now=NOW, serial="box").predicate
    assert predicate["verdict"] == "PASS"
    return Verified(Verdict.PASS, predicate, "the owner", None, with_evidence=False)


@pytest.mark.parametrize(
    ("policy", "verdict"),
    [
        (demand(epsilon="1.5"), FAIL),  # the owner's box, judged without the owner's tolerance
        (demand(epsilon="1.5", tau="0.25"), PASS),
        ("[layer]\nlower = -1\nupper = 2\n" + demand(epsilon="1.5"), PASS),
        ("[layer]\nlower = 0.4\nupper = 0.6\n" + demand(epsilon="1.5"), FAIL),
        ("[gate]\nmax_excluded_share = 0.25\n" + demand(epsilon="1.5", tau="0.25"), PASS),
        ("[gate]\nmax_excluded_share = 0.24\n" + demand(epsilon="1.5", tau="0.25"), FAIL),
    ],
)
def test_boxes_and_exclusions(boxed: Verified, policy: str, verdict: Verdict) -> None:
    assert judged(boxed, policy).verdict is verdict


@pytest.mark.parametrize(("registrar", "verdict"), [("somebody else", PASS), ("the owner", UNDECIDED)])
def test_a_registration_by_the_owner_is_none(verified: Verified, registrar: str, verdict: Verdict) -> None:
    policy = {**verified.predicate["policy"], "registeredAt": "2025-12-01T00:00:00Z"}
    registered = dataclasses.replace(
        verified, predicate={**verified.predicate, "policy": policy}, registrar_id=registrar
    )
    assert judged(registered, "[gate]\nrequire_registration = true\n" + demand()).verdict is verdict


def test_a_projection_onto_another_set_is_no_answer(tmp_path: Path) -> None:
    layer = '[layer]\nmetric = "demographic_parity"\nsensitive_features = "sex"\nlower = 0\nupper = 1\nepsilon = '
    form = demand(id="near", form="projection", epsilon="0.1")
    head = HEAD.split("[predictions]", maxsplit=1)
    (tmp_path / "p.toml").write_text(f"{head[0]}[predictions]{head[1]}{layer}0.5\n{form}")
    ingest(PEOPLE.assign(served=PEOPLE["score"]), tmp_path / "p.toml", tmp_path / "run")
    signer = signer_of(ec.derive_private_key(7, ec.SECP256R1()))
    predicate = certify_bundle(tmp_path / "run", signer, now=NOW, serial="near").predicate
    found = Verified(Verdict.PASS, predicate, "the owner", None, with_evidence=False)
    assert judged(found, f"{layer}0.5\n{form}").verdict is PASS
    assert judged(found, f"{layer}0.01\n{form}").verdict is UNDECIDED


# ------------------------------------------------------------------------------------------------------- replays
@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verified]:
    """Certificates whose claim is a replay: all scores right, one off by 2e-6, one beyond float64."""
    found = {}
    for name in ("replay", "replay-fail", "replay-undecided"):
        predicate = RUNS[name].build(tmp_path_factory.mktemp("replays") / name)[1].predicate
        found[name] = Verified(Verdict(predicate["verdict"]), predicate, "the owner", None, with_evidence=False)
    return found


def asked(epsilon: str) -> str:
    return f'[[property]]\nid = "mine"\nkind = "replay"\nepsilon = "{epsilon}"\n'


@pytest.mark.parametrize(
    ("name", "epsilon", "verdict"),
    [
        ("replay", "0.000001", PASS),
        ("replay", "0.00000000001", PASS),
        ("replay", "0", UNDECIDED),
        ("replay-fail", "0.000001", FAIL),
        ("replay-fail", "0.000003", PASS),
        ("replay-undecided", "1000000", UNDECIDED),
    ],
)
def test_a_replay_is_judged_by_the_relying_partys_epsilon(
    replayed: dict[str, Verified], name: str, epsilon: str, verdict: Verdict
) -> None:
    result = judged(replayed[name], asked(epsilon))
    (item,) = result.properties
    assert (item.id, item.verdict, item.groups, item.threshold) == ("mine", verdict, (), f"≤ {epsilon}")
    assert item.claim == ("replay" if name == "replay" else "scores")
    assert item.statement.startswith("the largest difference between a logged score")
    assert item.statement.endswith(f"at most {epsilon}")
    assert bool(item.reason) == (verdict is not PASS)
    for output in outputs.names():
        text = outputs.get(output).render(result, "policy.toml", asked(epsilon))
        assert ("mine" in text) or (output == "github" and verdict is PASS)


def test_small_distances_are_shown(replayed: dict[str, Verified]) -> None:
    text = outputs.get("text").render(judged(replayed["replay-fail"], asked("0.000001")), "", "")
    assert "0.00000200…" in text
    assert "0.00000199…" in text


def test_a_replay_is_answered_by_nothing_else(verified: Verified, replayed: dict[str, Verified]) -> None:
    (item,) = judged(verified, asked("1")).properties
    assert (item.verdict, item.claim) == (UNDECIDED, None)
    assert item.reason == "no claim of kind replay answers this"
    (item,) = judged(replayed["replay"], demand()).properties
    assert (item.verdict, item.claim) == (UNDECIDED, None)
