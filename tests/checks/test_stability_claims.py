"""Claims of kind stability, from bundle to verdict: figures against brute force, every verdict, what is refused."""

from __future__ import annotations

import itertools
import json
import random
from array import array
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from certifair.certificate.certify import certify_bundle
from certifair.certificate.claims import measure_claim
from certifair.certificate.derive import all_terms
from certifair.certificate.predicate import context_of
from certifair.certificate.sign import signer_of
from certifair.certificate.verify import Expectations, verify_certificate
from certifair.checks import get
from certifair.checks._stability.problem import Member, problem_of
from certifair.checks._stability.shown import inversion
from certifair.errors import InputError, PolicyError
from certifair.evidence.bundle import Evidence, load, read_contents
from certifair.evidence.proofs import add_proofs, read_proofs, write_proofs
from certifair.gate.evaluate import evaluate
from certifair.layer import FairnessLayer
from certifair.spec import Json
from certifair.spec.lipschitz import Witness
from certifair.spec.policy import Policy
from certifair.spec.verdict import Verdict
from tests.golden.cases import ISSUED, LAYER, NETWORKED, PRIVATE, Case, Columns, changed, head, people, pinned, scored
from tests.golden.individual_cases import FINITE, applicants
from tests.golden.network import CREDIT, SMALL
from tests.golden.stability_cases import asked, stability_cases

WIDE = LAYER.replace("lower = -1\nupper = 2", "lower = 0\nupper = 1")


def claims_of(case: Case, folder: Path) -> dict[str, Json]:
    """Those of a case's certificate, verified from its evidence, by id."""
    evidence, certified = case.build(folder)
    expect = Expectations(keys=[pinned(case.key)], now=ISSUED)
    assert verify_certificate(certified.content, expect, evidence).verdict.value == certified.predicate["verdict"]
    return {claim["id"]: claim for claim in certified.predicate["claims"]}


def evidence_of(case: Case, folder: Path) -> Evidence:
    folder.mkdir(exist_ok=True)
    (folder / "policy.toml").write_text(case.policy)
    case.ingest(case.columns, folder / "policy.toml", folder / "run")
    return load(read_contents(folder / "run"), "run")


def measured(evidence: Evidence) -> dict[str, Json]:
    context = context_of(evidence.system, evidence.n, 0)
    return {terms.id: measure_claim(terms, evidence, context) for terms in all_terms(evidence)}


def served(columns: Columns, features: tuple[str, ...] = ("sex",), epsilon: str = "0.05") -> Columns:
    """Served by the layer, batch by batch."""
    layer = FairnessLayer("demographic_parity", epsilon=epsilon, lower=0, upper=1)
    found = list(columns["score"])
    for name in dict.fromkeys(columns["batch"]):
        rows = [k for k, batch in enumerate(columns["batch"]) if batch == name]
        groups = {feature: [columns[feature][k] for k in rows] for feature in features}
        values = layer(
            torch.tensor([columns["score"][k] for k in rows], dtype=torch.float64), sensitive_features=groups
        )
        for k, value in zip(rows, values.tolist(), strict=True):
            found[k] = value
    return {**columns, "served": found}


@pytest.mark.parametrize("case", stability_cases(), ids=lambda case: case.name)
def test_every_case_has_its_verdict(case: Case, tmp_path: Path) -> None:
    found = claims_of(case, tmp_path / "x")
    verdicts = [Verdict(claim["verdict"]) for claim in found.values()]
    assert Verdict.all(verdicts).value == case.verdict


@pytest.mark.parametrize("seed", range(6))
def test_the_treatment_difference_is_what_brute_force_finds(seed: int, tmp_path: Path) -> None:
    """Below: the largest inversion of all pairs. Above: no pair differs more, and no score between two people could."""
    draw = random.Random(seed)
    columns = people(seed, 60, 3, gap=0.4)
    columns = served(changed(columns, score=lambda row, k: round(draw.random(), 1)), ("sex", "age"))
    policy = head('"sex", "age"', box=WIDE.replace('["sex"]', '["sex", "age"]')) + asked(
        "unlike", "max_treatment_difference = 0"
    )
    claim = claims_of(Case("x", policy, columns, "FAIL"), tmp_path / "x")["unlike"]
    rows = list(zip(*(columns[name] for name in ("batch", "sex", "age", "score", "served")), strict=True))
    largest = Fraction(0)
    for a, b in itertools.permutations(rows, 2):
        if a[0] == b[0] and a[1:3] != b[1:3] and a[3] <= b[3]:
            largest = max(largest, Fraction(a[4]) - Fraction(b[4]))
    shown = claim["witness"]["shown"]
    assert Fraction(shown["difference"]) == largest > 0
    favoured, other = (rows[int(shown[end]) - 1] for end in ("favoured", "other"))
    assert Fraction(favoured[4]) - Fraction(other[4]) == largest
    assert favoured[3] <= other[3]
    assert largest <= Fraction(claim["upper"])
    assert claim["verdict"] == "FAIL"
    assert Fraction(claim["upper"]) - largest < Fraction(1, 5)  # some combination has people at nearly equal scores


def test_the_treatment_difference_stands_in_a_certificate_unasked(tmp_path: Path) -> None:
    columns = served(people(3, 60, 2, gap=0.3))
    policy = head(box=WIDE) + asked("smooth", "share_differentiable = 0")
    found = claims_of(Case("x", policy, columns, "PASS"), tmp_path / "x")
    assert found["treatment"]["verdict"] == "PASS"
    assert found["treatment"]["threshold"] == "1"
    assert float(found["treatment"]["upper"]) > 0.1


def test_no_layer_no_treatment_difference(tmp_path: Path) -> None:
    evidence = evidence_of(Case("x", head(), people(3, 20), "PASS"), tmp_path / "x")
    assert not any(terms.kind == "stability" for terms in all_terms(evidence))


def test_what_is_served_outside_the_box_is_undecided(tmp_path: Path) -> None:
    columns = changed(people(5, 40, 2), served=lambda row, k: 1.5 if k == 0 else row["score"])
    text = head(box=WIDE.replace("0.05", "1")) + asked("unlike", "max_treatment_difference = 1")
    claim = measured(evidence_of(Case("x", text, columns, ""), tmp_path / "x"))["unlike"]
    assert (claim["verdict"], claim["witness"]["undecided"]) == ("UNDECIDED", 1)
    assert "outside the layer's box" in claim["reason"]
    assert claim["upper"] is None


def test_a_batch_that_nothing_satisfies_is_undecided_and_named(tmp_path: Path) -> None:
    """Labels all 1 and a box up to 1/2: no residual can be small."""
    columns = changed(people(5, 40, 2), label=lambda row, k: 1, served=lambda row, k: 0.25)
    layer = LAYER.replace("demographic_parity", "equalized_residuals").replace(
        "lower = -1\nupper = 2", "lower = 0\nupper = 0.5"
    )
    claim = measured(
        evidence_of(Case("x", head(box=layer) + asked("far", "min_radius = 0"), columns, ""), tmp_path / "x")
    )["far"]
    assert claim["verdict"] == "UNDECIDED"
    assert "'b0'" in claim["reason"]
    assert "no predictions in the box satisfy the rows" in claim["reason"]


def test_a_layer_that_does_not_serve_is_refused(tmp_path: Path) -> None:
    evidence = evidence_of(Case("x", head(box="[layer]\nlower = 0\nupper = 1\n"), people(3, 20), ""), tmp_path / "x")
    text = head() + asked("far", 'min_radius = 0\nmetric = "demographic_parity"\nsensitive_features = "sex"')
    (item,) = Policy.parse(text.encode()).properties
    check = get("stability", "radius")
    assert check is not None
    from certifair.spec.terms import terms_of

    with pytest.raises(InputError, match="none served"):
        check.measure(terms_of(item, evidence.values), evidence, context_of(evidence.system, evidence.n, 0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("min_radius = 0", "speaks of a layer"),
        ("min_radius = 0\nmax_change = 1", "must be given, one of them"),
        ("", "must be given, one of them"),
        ('max_lipschitz = 1\ninputs = "some"', "everywhere, domain, ranges"),
        ("max_lipschitz = -1", "max_lipschitz"),
        ('max_lipschitz = 1\nmetric = "demographic_parity"', "metric"),
        ("share_differentiable = 2", "share_differentiable"),
        ('min_radius = 0\nmetric = "conditional_parity"\nsensitive_features = "sex"', "condition"),
    ],
)
def test_policies_that_ask_nothing_sensible(text: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        Policy.parse((head() + asked("x", text)).encode())


def lipschitz_case(limit: str, more: str = "", domain: str = FINITE) -> Case:
    text = head(system=NETWORKED) + domain + asked("slope", f"max_lipschitz = {limit}\n{more}")
    return Case("x", text, applicants(64, 20), "PASS", network=CREDIT)


def with_proof(case: Case, witness: Witness, folder: Path) -> dict[str, Json]:
    """The claims of the case, a proof put into its bundle; the certificate is verified from the evidence."""
    evidence_of(case, folder)
    add_proofs(folder / "run", {"slope": witness})
    certified = certify_bundle(folder / "run", signer_of(PRIVATE["owner"]), now=ISSUED, serial="x")
    expect = Expectations(keys=[pinned("owner")], now=ISSUED)
    assert verify_certificate(certified.content, expect, folder / "run").verdict.value == certified.predicate["verdict"]
    return {claim["id"]: claim for claim in certified.predicate["claims"]}


def proposal(case: Case, folder: Path) -> Witness:
    from certifair.checks._stability.network_claim import network_of
    from certifair.evidence.domain import features_of, place_of
    from certifair.stability import propose

    evidence = evidence_of(case, folder)
    (terms,) = (terms for terms in all_terms(evidence) if terms.id == "slope")
    network = network_of(evidence)
    assert not isinstance(network, str)
    found = propose(network, *place_of(features_of(terms.domain or ()), terms.method), seconds=2)
    assert found.witness is not None
    return found.witness


@pytest.mark.parametrize("more", ["", 'inputs = "domain"', 'inputs = "ranges"'])
def test_a_proof_tightens_the_bound_and_two_points_refute(more: str, tmp_path: Path) -> None:
    witness = proposal(lipschitz_case("1", more), tmp_path / "p")
    plain = measured(evidence_of(lipschitz_case("1", more), tmp_path / "e"))["slope"]
    claim = with_proof(lipschitz_case("1", more), witness, tmp_path / "x")["slope"]
    bounds = {entry["method"]: float(entry["bound"]) for entry in claim["witness"]["bounds"]}
    assert bounds["lipsdp"] < min(float(entry["bound"]) for entry in plain["witness"]["bounds"])
    assert 0 < float(claim["witness"]["least"]) <= bounds["lipsdp"]
    least = float(claim["witness"]["least"])
    refuted = with_proof(lipschitz_case(f"{least * 0.99:.6f}", more), witness, tmp_path / "y")["slope"]
    assert refuted["verdict"] == "FAIL"
    assert "proven to lie between" in refuted["reason"]
    assert with_proof(lipschitz_case("100", more), witness, tmp_path / "z")["slope"]["verdict"] == "PASS"


def test_a_proof_of_another_network_is_worth_nothing(tmp_path: Path) -> None:
    witness = proposal(lipschitz_case("1"), tmp_path / "p")
    text = head(system=NETWORKED) + asked("slope", "max_lipschitz = 9")
    claim = with_proof(Case("x", text, scored(66, 20), "", network=SMALL), witness, tmp_path / "x")["slope"]
    assert "lipsdp" not in [entry["method"] for entry in claim["witness"]["bounds"]]


def test_a_bound_that_the_proof_does_not_carry_is_not_claimed(tmp_path: Path) -> None:
    witness = proposal(lipschitz_case("1"), tmp_path / "p")
    tight = Witness(witness.bound / 2, witness.multipliers, witness.pair)
    claim = with_proof(lipschitz_case("1"), tight, tmp_path / "x")["slope"]
    assert "lipsdp" not in [entry["method"] for entry in claim["witness"]["bounds"]]


@pytest.mark.parametrize("change", ["bound", "least", "method"])
def test_a_tighter_bound_than_is_proven_is_untrusted(change: str, tmp_path: Path) -> None:
    case = lipschitz_case("1")
    witness = proposal(case, tmp_path / "p")
    evidence_of(case, tmp_path / "x")
    add_proofs(tmp_path / "x" / "run", {"slope": witness})
    evidence = load(read_contents(tmp_path / "x" / "run"), "run")
    (terms,) = (terms for terms in all_terms(evidence) if terms.id == "slope")
    check, context = get("stability", "lipschitz"), context_of(evidence.system, evidence.n, 0)
    assert check is not None
    published = check.measure(terms, evidence, context).witness
    again = check.measure(terms, evidence, context._replace(published=False)).witness
    assert check.contains(terms, published, again, evidence)
    lie = json.loads(json.dumps(published))
    if change == "bound":
        lie["bounds"][-1]["bound"] = str(float(again["bounds"][-1]["bound"]) * (1 - 1e-9))[:14]
    elif change == "least":
        lie["least"] = lie["bounds"][-1]["bound"]
    else:
        evidence.__dict__["witness"] = write_proofs({})
        again = check.measure(terms, evidence, context._replace(published=False)).witness
    assert not check.contains(terms, lie, again, evidence)


def test_proofs_of_both_kinds_stand_in_one_file() -> None:
    witness = Witness(2.5, (array("d", [1.0, 0.0]),), None)
    assert read_proofs(write_proofs({"a": witness}), "x") == {"a": witness}
    with pytest.raises(InputError, match="'a'"):
        read_proofs(write_proofs({"a": witness}).replace(b"0x1.4", b"-0x1.4"), "x")


@pytest.mark.parametrize(
    ("demand", "verdict"),
    [
        ('max_treatment_difference = 0.5\nmetric = "demographic_parity"\nsensitive_features = "sex"', Verdict.PASS),
        ('max_treatment_difference = 0.01\nmetric = "demographic_parity"\nsensitive_features = "sex"', Verdict.FAIL),
        (
            'max_treatment_difference = 0.5\nmetric = "demographic_parity"\nsensitive_features = "age"',
            Verdict.UNDECIDED,
        ),
        ("max_lipschitz = 5", Verdict.UNDECIDED),
    ],
)
def test_a_relying_party_needs_no_layer_of_its_own(demand: str, verdict: Verdict, tmp_path: Path) -> None:
    case = next(case for case in stability_cases() if case.name == "stability")
    _, certified = case.build(tmp_path / "x")
    verified = verify_certificate(certified.content, Expectations(keys=[pinned("owner")], now=ISSUED))
    policy = Policy.parse(asked("demand", demand).encode())
    assert evaluate(verified, policy, ISSUED, "policy").verdict is verdict


@pytest.mark.parametrize(("epsilon", "verdict"), [("0.05", Verdict.PASS), ("0.04", Verdict.UNDECIDED)])
def test_a_relying_party_with_a_layer_means_that_one(epsilon: str, verdict: Verdict, tmp_path: Path) -> None:
    case = next(case for case in stability_cases() if case.name == "stability")
    _, certified = case.build(tmp_path / "x")
    verified = verify_certificate(certified.content, Expectations(keys=[pinned("owner")], now=ISSUED))
    policy = Policy.parse((head(box=LAYER.replace("0.05", epsilon)) + asked("demand", "min_radius = 0.0001")).encode())
    assert evaluate(verified, policy, ISSUED, "policy").verdict is verdict


@pytest.mark.parametrize(("inputs", "verdict"), [("ranges", Verdict.PASS), ("domain", Verdict.UNDECIDED)])
def test_a_lipschitz_demand_names_where_and_in_which_units(inputs: str, verdict: Verdict, tmp_path: Path) -> None:
    case = lipschitz_case("100", 'inputs = "ranges"')
    _, certified = case.build(tmp_path / "x")
    verified = verify_certificate(certified.content, Expectations(keys=[pinned("owner")], now=ISSUED))
    demand = asked("demand", f'max_lipschitz = 50\ninputs = "{inputs}"')
    assert evaluate(verified, Policy.parse((FINITE + demand).encode()), ISSUED, "policy").verdict is verdict
    other = FINITE.replace("high = 6", "high = 7")
    assert evaluate(verified, Policy.parse((other + demand).encode()), ISSUED, "p").verdict is Verdict.UNDECIDED


@pytest.mark.parametrize("seed", range(20))
def test_an_inversion_is_the_largest_of_all_pairs_whatever_was_served(seed: int) -> None:
    draw = np.random.default_rng(seed)
    members = tuple(Member((sex, age), where) for sex in "fm" for age in "ab" for where in ("x", "y", None))
    n = int(draw.integers(1, 40))
    cells, scores, given = draw.integers(0, len(members), n), draw.integers(0, 6, n) / 4, draw.integers(0, 9, n) / 8
    problem = problem_of(scores, cells, members, [], (Fraction(0), Fraction(2)))
    pairs = [
        (Fraction(given[i]) - Fraction(given[k]), i, k)
        for i, k in itertools.permutations(range(n), 2)
        if scores[i] <= scores[k]
        and members[cells[i]].groups != members[cells[k]].groups
        and members[cells[i]].condition == members[cells[k]].condition
    ]
    largest = max((pair[0] for pair in pairs), default=Fraction(0))
    found = inversion(problem.people, members, given)
    assert (Fraction(0) if found is None else found.difference) == max(largest, Fraction(0))
    assert found is None or (found.difference, found.favoured, found.other) in pairs


def test_figures_of_several_batches_are_those_of_the_worst(tmp_path: Path) -> None:
    """Each batch certified by itself, and all together."""
    columns = served(people(12, 90, 3, gap=0.4))
    text = head(box=WIDE) + asked("far", "min_radius = 0") + asked("moved", "max_change = 1")
    single = []
    for name in dict.fromkeys(columns["batch"]):
        rows = [k for k, batch in enumerate(columns["batch"]) if batch == name]
        part = {key: [values[k] for k in rows] for key, values in columns.items()}
        single.append(measured(evidence_of(Case("x", text, part, ""), tmp_path / name)))
    together = measured(evidence_of(Case("x", text, columns, ""), tmp_path / "all"))
    for end in ("lower", "upper"):
        assert together["far"][end] == min((claims["far"][end] for claims in single), key=Fraction)
        assert together["moved"][end] == max((claims["moved"][end] for claims in single), key=Fraction)
    radii = [Fraction(claims["far"]["witness"]["worst"]["radius"]) for claims in single]
    assert len(set(radii)) == 3


def test_what_was_served_is_as_far_as_people_together_are(tmp_path: Path) -> None:
    """Everybody is served 1/8 more than the projection, which is the score: √20/8 in all."""
    columns = changed(scored(66, 20), served=lambda row, k: row["score"] + 0.125)
    text = head(system=NETWORKED, box=LAYER.replace("epsilon = 0.05", "epsilon = 2"))
    case = Case("x", text + asked("whole", 'max_lipschitz = 9\nmap = "served"'), columns, "", network=SMALL)
    found = measured(evidence_of(case, tmp_path / "x"))["whole"]["witness"]["served"]
    assert Fraction(found["distance"]) ** 2 >= Fraction(20, 64)
    assert float(found["distance"]) == pytest.approx(20**0.5 / 8, abs=1e-9)


def test_a_bound_over_all_inputs_is_no_answer_in_units_of_ranges(tmp_path: Path) -> None:
    _, certified = lipschitz_case("100").build(tmp_path / "x")
    verified = verify_certificate(certified.content, Expectations(keys=[pinned("owner")], now=ISSUED))
    for inputs, verdict in (("ranges", Verdict.UNDECIDED), ("everywhere", Verdict.PASS)):
        policy = Policy.parse((FINITE + asked("demand", f'max_lipschitz = 50\ninputs = "{inputs}"')).encode())
        assert evaluate(verified, policy, ISSUED, "policy").verdict is verdict
