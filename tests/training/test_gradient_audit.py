from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from certifair.checks._stability.face import face_of
from certifair.checks._stability.problem import LayerRow, Member, problem_of
from certifair.checks._stability.solution import Solution, solve
from certifair.cli.train import summary
from certifair.errors import InputError, PolicyError
from certifair.evidence.canonical import canonical, strict_json
from certifair.exact.decimals import parse_decimal, sqrt_up
from certifair.layer import FairnessLayer, autograd, solvers
from certifair.layer.derivative import Gradient, pull_back
from certifair.layer.result import Solved
from certifair.layer.solvers.base import Numbers, Status
from certifair.training import Dataset, FairModel, GradientAudit, Trainer, TrainerConfig, audit_gradients
from certifair.training._directions import find_direction, forward, norm2_up, norm_down, pulled
from certifair.training._exact_piece import prove
from certifair.training.batches import plan_batches
from certifair.training.run import train_run
from tests.training.people import model_of, parity, people

LAYERS: dict[str, dict[str, Any]] = {
    "parity": {},
    "two features": {"features": ["sex", "race"]},
    "pairs of groups": {"features": ["sex", "race"], "intersectional": True},
    "equations": {"features": ["race"], "epsilon": 0},
    "odds": {"metric": "equalized_odds", "features": ["race"], "epsilon": "0.01"},
    "residuals": {"metric": "equalized_residuals", "features": ["race"], "epsilon": "0.001"},
    "conditional": {"metric": "conditional_parity", "features": ["sex"], "epsilon": "0.01"},
    "wide box": {"lower": "-0.1", "upper": "1.3"},
}
DTYPES = (torch.float32, torch.float64)
ROUNDING = {torch.float32: Fraction(1, 2**20), torch.float64: Fraction(1, 2**48)}


def pushed(data: Dataset, seed: int) -> np.ndarray:
    """Scores on a coarse grid, some beyond the box, with a gap that any of the layers has to close."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(0.4, 0.4, len(data)) + 0.3 * (data.sensitive["sex"] == "m") + 0.2 * (data.sensitive["race"] == "a")
    found: np.ndarray = np.rint(raw * 2**20) / 2**20
    return found


def derivative(layer: FairnessLayer, data: Dataset, scores: np.ndarray, e: np.ndarray) -> list[Fraction]:
    """J e, by the verifier's own rational solution: J = D − D A_Rᵀ (A_R D A_Rᵀ)⁻¹ A_R D."""
    rows, joint = layer.rows(len(data), data.sensitive, data.labels, data.conditions)
    present, cells = np.unique(joint, return_inverse=True)
    place = {int(j): k for k, j in enumerate(present)}
    parts = [tuple(place[j] for j in members if j in place) for members in rows.pattern.members]
    wanted = [
        LayerRow(row.name, tuple(parts[c] for c, _ in terms), tuple(Fraction(f) for _, f in terms), row.residual, limit)
        for row, terms, limit in zip(rows.pattern.rows, rows.pattern.terms, rows.epsilon, strict=True)
    ]
    labels = None if data.labels is None else data.labels.double().numpy()
    members = [Member((str(j),)) for j in present]
    found = solve(problem_of(scores, cells, members, wanted, (layer.lower, layer.upper), labels))
    assert isinstance(found, Solution)
    face = face_of(found)
    inside = [False] * len(scores)
    for low, high in zip(found.place.low, found.place.high, strict=True):
        for position in range(low, high):
            inside[int(found.people.order[position])] = True
    felt = [Fraction(float(v)) if i else Fraction(0) for v, i in zip(e, inside, strict=True)]
    arriving = [
        sum((found.system.weights[k][c] * v for c, v in zip(cells.tolist(), felt, strict=True)), Fraction(0))
        for k in face.basis
    ]
    force = [sum((h * a for h, a in zip(line, arriving, strict=True)), Fraction(0)) for line in face.inverse]
    back = [
        sum((f * found.system.weights[k][c] for f, k in zip(force, face.basis, strict=True)), Fraction(0))
        for c in range(len(members))
    ]
    return [v - back[c] if i else Fraction(0) for v, c, i in zip(felt, cells.tolist(), inside, strict=True)]


def dot(a: Any, b: Any) -> Fraction:
    return sum((Fraction(x) * Fraction(y) for x, y in zip(a, b, strict=True)), Fraction(0))


@pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
@pytest.mark.parametrize("name", LAYERS)
def test_the_bound_holds_against_the_rational_jacobian(name: str, dtype: torch.dtype) -> None:
    layer, data = parity(**LAYERS[name]), people(60, 1)
    rng = np.random.default_rng(7)
    scores, audited = pushed(data, 2), 0
    z, served = forward(layer, data, scores, dtype)
    assert served
    assert any(item.answer.multipliers.any() for item in served.problems)
    for _ in range(4):
        g, v = (rng.normal(size=60).astype(np.float32).astype(np.float64) for _ in range(2))
        direction = find_direction(layer, data, scores, v)
        assert direction is not None
        w = pulled(z, served, g)
        truth = abs(
            dot(w.tolist(), direction.move.tolist()) - dot(g.tolist(), derivative(layer, data, scores, direction.move))
        )
        bound = direction.error(g, w)
        scale = norm_down(g) * norm_down(direction.move)
        assert truth <= bound <= truth + scale / 2**48
        assert bound <= scale * ROUNDING[dtype]
        # what the layer serves differs from P by delta at most, at either end
        slack = sqrt_up(norm2_up(g), 30) * sqrt_up(direction.delta2, 30)
        assert abs(direction.difference(g, w) - truth) <= slack + scale / 2**48
        audited += 1
    assert audited == 4


def broken(kind: str, g: Numbers, right: Gradient) -> Gradient:
    if kind == "scaled":
        return right._replace(scores=right.scores * 1.001)
    if kind == "sign":  # D (g + Aᵀ λ) instead of D (g − Aᵀ λ)
        return right._replace(scores=np.where(right.scores != 0, 2 * g - right.scores, 0.0).astype(g.dtype))
    if kind == "forgotten":  # as if there were no rows
        return right._replace(scores=np.where(right.scores != 0, g, 0.0).astype(g.dtype))
    return right._replace(scores=np.roll(right.scores, 1))


@pytest.mark.parametrize(("kind", "least"), [("scaled", 5e-4), ("sign", 1e-2), ("forgotten", 5e-3), ("shifted", 0.1)])
@pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
def test_a_broken_backward_pass_is_caught(
    kind: str, least: float, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = people(200)
    model = model_of(data, parity("0.01")).to(dtype)

    def wrong(solved: Solved, g: Numbers) -> Gradient:
        right = pull_back(solved, g)
        return right if solved.answer.pull_back is not None else broken(kind, g, right)

    whole = audit_gradients(model, data, 2, size=100)
    assert whole.bound is not None
    assert whole.bound < 1e-7
    monkeypatch.setattr(autograd, "pull_back", wrong)
    found = audit_gradients(model, data, 2, size=100)
    for item in found.batches:
        assert item.bound is not None
        assert item.difference is not None
        assert item.cvxpylayers.difference is not None
        assert item.bound > least
        assert item.difference > least
        assert item.cvxpylayers.difference > least
    assert "error at most" in found.summary()


def scored(scores: list[float], groups: str) -> tuple[FairModel, Dataset]:
    """A network that passes its input on, so that people have exactly these scores."""
    backbone = torch.nn.Linear(1, 1).double()
    with torch.no_grad():
        backbone.weight.fill_(1.0)
        backbone.bias.fill_(0.0)
    data = Dataset.of(np.array(scores)[:, None], {"sex": np.array(list(groups))}, np.array([1, 0] * (len(scores) // 2)))
    return FairModel(backbone, parity("0.25")), data


@pytest.mark.parametrize(
    ("scores", "at_kink"),
    [
        ([0.5, 0.5, 0.75, 0.75], True),  # the gap is exactly ε: the row is active without a multiplier
        ([0.5, 0.5, 0.625, 0.625], False),
        ([0.0, 0.5, 0.25, 0.5], True),  # nobody is moved, and somebody's score is the end of the box
        ([-0.1, 0.5, 0.25, 0.5], False),
    ],
)
def test_kinks_are_recorded(scores: list[float], at_kink: bool) -> None:
    model, data = scored(scores, "ffmm")
    (item,) = audit_gradients(model, data, 1, loss="mse").batches
    assert bool(item.kink) == at_kink
    assert bool(item.cvxpylayers.reason) == at_kink
    if at_kink:
        assert item.directions == 0
        assert item.bound is item.difference is item.delta is item.step is item.cvxpylayers.difference is None
        assert item.kink.startswith("3 of 3 directions: no step")
        assert "0 batches audited; 1 not or partly audited (3 of 3" in GradientAudit(0, "float64", (item,)).summary()
    else:
        assert item.directions == 3
        assert item.bound is not None


def test_an_equation_without_a_multiplier_is_no_kink() -> None:
    model, data = scored([0.5, 0.25, 0.5, 0.25], "ffmm")
    (item,) = audit_gradients(FairModel(model.backbone, parity(0)), data, 1, loss="mse").batches
    assert (item.kink, item.directions, item.active) == ("", 3, 0)
    assert item.bound is not None
    assert item.bound < 1e-14


def test_a_batch_without_an_answer_says_why() -> None:
    layer = parity("0.01", "equalized_residuals", features=["sex"], upper="0.1")  # labels far above the box
    data = people(80)
    (item,) = audit_gradients(model_of(data, layer), data, 1).batches
    assert item.kink.startswith("infeasible")
    assert item.bound is None
    assert item.cvxpylayers.reason == item.kink


@pytest.fixture
def no_cvxpylayers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    solvers.get.cache_clear()
    monkeypatch.delitem(sys.modules, "certifair.layer.solvers.cvxpylayers", raising=False)
    monkeypatch.setitem(sys.modules, "cvxpylayers.torch.cvxpylayer", None)
    yield
    solvers.get.cache_clear()


@pytest.mark.usefixtures("no_cvxpylayers")
def test_without_cvxpylayers_that_is_recorded() -> None:
    data = people(100)
    found = audit_gradients(model_of(data, parity()), data, 1)
    assert found.bound is not None
    assert found.compared is None
    assert found.batches[0].cvxpylayers.reason.startswith("solver 'cvxpylayers' needs cvxpylayers")
    assert "1 not compared with cvxpylayers" in found.summary()


def test_what_cvxpylayers_cannot_solve_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    solver = solvers.get("cvxpylayers")
    monkeypatch.setattr(solver, "solver_args", {"solve_method": "SCS", "eps": 1e-10, "max_iters": 1})
    data = people(100)
    found = audit_gradients(model_of(data, parity()), data, 1)
    assert found.bound is not None
    assert found.batches[0].cvxpylayers.difference is None
    assert "solver failed" in found.batches[0].cvxpylayers.reason


def test_constraints_of_your_own_are_not_audited() -> None:
    from certifair.layer.solvers.cvxpylayers import CvxpyLayers

    data = people(60)
    layer = parity(solver=CvxpyLayers(constraints=lambda y: [y[0] <= 0.5]))
    (item,) = audit_gradients(model_of(data, layer), data, 1).batches
    assert item.kink == item.cvxpylayers.reason == "the layer's solver has constraints of its own"


def test_a_wrong_answer_is_never_proven() -> None:
    layer, data = parity("0.01", features=["race"]), people(60, 3)
    scores, rng = pushed(data, 4), np.random.default_rng(5)
    _, served = forward(layer, data, scores, torch.float64)
    right, point = served.predictions.detach().numpy(), prove(served.problems[0], scores)
    assert point is not None
    assert point.distance2(right) < Fraction(1, 10**20)
    refused = 0
    for size in np.repeat([1e-9, 1e-3, 1e-1], 20):
        answer = served.problems[0].answer
        noise = answer.multipliers * size * rng.normal(size=len(answer.multipliers))
        shift = answer.shift.value + size * rng.normal(size=len(answer.shift.value))
        other = replace(answer, multipliers=answer.multipliers + noise, shift=replace(answer.shift, value=shift))
        found = prove(replace(served.problems[0], answer=other), scores)
        refused += found is None
        assert found is None or found.shifts == point.shifts
    assert 20 <= refused < 60
    assert prove(served.problems[0], scores + 0.5) is None
    answer = served.problems[0].answer
    nothing = replace(answer.shift, value=np.zeros_like(answer.shift.value))
    for other in (
        replace(answer, multipliers=np.zeros_like(answer.multipliers), shift=nothing),
        replace(answer, multipliers=-answer.multipliers),
        replace(answer, status=Status.NO_GRID_POINT),
    ):
        assert prove(replace(served.problems[0], answer=other), scores) is None


def test_several_columns() -> None:
    data = people(120)
    labels = data.labels
    assert labels is not None
    model = FairModel(torch.nn.Sequential(torch.nn.Linear(5, 2), torch.nn.Sigmoid()), parity())
    data = replace(data, inputs=data.inputs / data.inputs.std(dim=0), labels=labels.repeat_interleave(2).reshape(-1, 2))
    (item,) = audit_gradients(model, data, 1, loss=lambda y, wanted: ((y - wanted) ** 2).mean()).batches
    assert (item.people, item.rows, item.directions) == (120, 2, 3)
    assert item.bound is not None
    assert item.bound < 1e-6
    assert item.cvxpylayers.difference is not None
    assert item.cvxpylayers.difference < 1e-5


def test_of_a_large_batch_a_part_with_all_groups_is_compared() -> None:
    data = people(1300)
    found = audit_gradients(model_of(data, parity(features=["sex", "race"], intersectional=True)), data, size=0)
    (item,) = found.batches
    assert item.people == 1300
    assert 400 < item.cvxpylayers.people <= 512
    assert item.cvxpylayers.difference is not None
    assert item.cvxpylayers.difference < 1e-5
    assert item.rows == 15  # pairs of six groups


def test_a_kink_outside_the_part_does_not_stop_the_comparison() -> None:
    rng = np.random.default_rng(1)
    scores, groups = rng.uniform(0.1, 0.9, 1200), "".join(rng.choice(list("fm"), 1200))
    model, data = scored(scores.tolist(), groups)
    part = next(plan_batches(data, model.layer, 512).epoch(0, 1))
    scores[np.setdiff1d(np.arange(1200), part)[0]] = 0.0
    model, data = scored(scores.tolist(), groups)
    (item,) = audit_gradients(model, data, 1, size=0, loss=lambda y, _: ((y - 2) ** 2).mean()).batches
    assert (item.people, item.directions, item.cvxpylayers.people) == (1200, 0, len(part))
    assert item.cvxpylayers.difference is not None
    assert item.cvxpylayers.difference < 1e-5


def test_the_record_is_strict_json_and_repeats_byte_for_byte() -> None:
    data = people(300)
    model = model_of(data, parity("0.01"), dropout=True).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = audit_gradients(model, data, 2, 5, size=80)
    content = canonical(found.to_json())
    torch.rand(1)
    assert canonical(audit_gradients(model, data, 2, 5, size=80).to_json()) == content
    assert canonical(audit_gradients(model, data, 2, 6, size=80).to_json()) != content
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    record = strict_json(content)
    assert (record["format"], record["seed"], record["dtype"]) == ("certifair-gradients/0", 5, "float32")
    assert len(record["batches"]) == 2
    for item, text in zip(found.batches, record["batches"], strict=True):
        assert item.bound is not None
        assert item.step is not None
        assert item.bound <= parse_decimal(text["bound"]) < item.bound + Fraction(1, 10**23)
        assert item.step >= parse_decimal(text["step"]) > item.step - Fraction(1, 10**23)
        assert item.difference <= item.bound + item.delta / item.step + Fraction(1, 10**14)  # type: ignore[operator]


def test_batches_are_those_of_the_trainer() -> None:
    data, seen = people(300), []

    def loss(predictions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seen.append(labels.tolist())
        return ((predictions - labels) ** 2).mean()

    model = model_of(data, parity())
    config = TrainerConfig(epochs=2, batch=80, seed=4, loss=loss, measure_train=False)
    Trainer(config).fit(model, data)
    last = seen[len(seen) // 2 :]
    seen.clear()
    found = audit_gradients(model, data, 2, 4, size=80, loss=loss, epoch=2)
    assert seen == [last[item.batch] for item in found.batches]
    assert not audit_gradients(model, data, 0).batches
    assert len(audit_gradients(model, data, 9, size=150).batches) == 2


def test_wrong_calls_are_refused() -> None:
    data = people(60)
    with pytest.raises(InputError, match="no fairness layer"):
        audit_gradients(model_of(data, None), data)
    with pytest.raises(InputError, match="must not be negative"):
        audit_gradients(model_of(data, parity()), data, -1)
    with pytest.raises(InputError, match="without labels"):
        audit_gradients(model_of(data, parity()), replace(data, labels=None))


POLICY = """
[data]
label = "y"
sensitive_features = ["g"]
split = {{train = 0.6, test = 0.4}}
[data.values]
g = ["a", "b"]
[model]
hidden = [4]
[training]
epochs = 2
batch = 64
{training}
[layer]
metric = "demographic_parity"
sensitive_features = "g"
epsilon = 0.02
[[property]]
id = "p"
kind = "feasibility"
metric = "demographic_parity"
sensitive_features = "g"
epsilon = 0.02
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(3)
    lines = ["g,income,y"]
    for _ in range(300):
        group = "ab"[int(rng.random() < 0.5)]
        income = rng.normal(30 + 10 * (group == "b"), 5)
        lines.append(f"{group},{income:.2f},{int(income + rng.normal(0, 5) > 35)}")
    path = tmp_path_factory.mktemp("table") / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("training", "batches"), [("", 3), ("audit = 1", 1), ("audit = 0", None), ('method = "projection"', None)]
)
def test_training_audits_and_the_bundle_holds_the_record(
    training: str, batches: int | None, table: Path, tmp_path: Path
) -> None:
    (tmp_path / "p.toml").write_text(POLICY.format(training=training))
    made = train_run(table, tmp_path / "p.toml", tmp_path / "run")
    manifest = strict_json((tmp_path / "run" / "manifest.json").read_bytes())
    listed = [item for item in manifest["files"] if item["role"] == "gradients"]
    path = tmp_path / "run" / "training" / "gradients.json"
    told = [line for line in summary(made) if line.startswith("gradients:")]
    assert (tmp_path / "run" / "training" / "history.json").exists()
    if batches is None:
        assert made.gradients is None
        assert not listed
        assert not told
        assert not path.exists()
        return
    assert made.gradients is not None
    assert [item["path"] for item in listed] == ["training/gradients.json"]
    assert path.read_bytes() == canonical(made.gradients.to_json())
    assert len(json.loads(path.read_bytes())["batches"]) == batches
    assert made.gradients.bound is not None
    assert made.gradients.bound < 1e-6
    assert told == [made.gradients.summary()]


@pytest.mark.parametrize("audit", ["-1", "1.5", "true", '"all"'])
def test_a_policy_with_another_audit_is_refused(audit: str, table: Path, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(POLICY.format(training=f"audit = {audit}"))
    with pytest.raises(PolicyError, match="audit"):
        train_run(table, tmp_path / "p.toml", tmp_path / "run")
