"""The README's table of `fairness_training`'s names, and the steps of that package's own example script by ours.

The script works on Adult with two binary attributes, and on a drawn regression set. Here the first is drawn too, with
the same two attributes and their unequal shares, so that nothing is downloaded.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
import torch

from certifair.layer import FairnessLayer
from certifair.online import PrimalDual
from certifair.report.plots import plot_groups, plot_history, plot_tradeoff
from certifair.spec.groups import Partition
from certifair.spec.metrics.base import Example, Metric, Row, pair_rows
from certifair.training import Dataset, FairModel, Trainer, TrainerConfig, hide_sensitive, mlp, plan_batches, split
from certifair.training.rows import rows_for

README = Path(__file__).parents[2] / "README.md"
MODULES = ("fair_model", "fair_trainer", "fairness_metrics", "utils", "viz")
BASE = "FairnessMetric"


def rows_of_the_table() -> list[tuple[str, str, str]]:
    shown = re.search(
        r"<!-- fairness_training names -->\n(.*?)<!-- end -->", README.read_text(encoding="utf-8"), re.DOTALL
    )
    assert shown is not None, "README.md has no table between the two marks"
    lines = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in shown[1].splitlines()[2:]]
    assert all(len(cells) == 3 for cells in lines)
    return [(theirs, ours, note) for theirs, ours, note in lines]


def spans(cell: str) -> Iterator[tuple[str, list[str]]]:
    """(dotted name, the arguments in brackets) of each code span."""
    for name, arguments in re.findall(r"`([\w.]+)(?:\(([\w, ]*)\))?`", cell):
        yield name, [item.strip() for item in arguments.split(",") if item.strip()]


def package() -> Path:
    spec = importlib.util.find_spec("fairness_training")
    if spec is None or spec.origin is None:
        pytest.skip("fairness_training is not installed (pip install --no-deps fairness_training==0.1.0)")
    return Path(spec.origin).parent


def exported() -> set[str]:
    """Their `__all__`."""
    tree = ast.parse((package() / "__init__.py").read_text(encoding="utf-8"))
    values = [
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    return set(ast.literal_eval(values[0]))


def public_names() -> dict[str, set[str]]:
    """Their public functions, classes, methods and class attributes with all parameters, read without importing it."""
    folder, found = package(), {}
    for module in (*MODULES, "example_usage"):
        for node in ast.parse((folder / f"{module}.py").read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                found[node.name] = _parameters(node)
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found |= _members(node)
    return found


def _parameters(node: ast.FunctionDef) -> set[str]:
    return {argument.arg for argument in node.args.args} - {"self", "cls"}


def _members(node: ast.ClassDef) -> dict[str, set[str]]:
    """A metric's own overrides are those of its base class."""
    inherits = any(isinstance(base, ast.Name) and base.id == BASE for base in node.bases)
    found: dict[str, set[str]] = {node.name: {"num_protected_attrs"} if inherits else set()}
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            found[node.name] = _parameters(item)
        elif isinstance(item, ast.FunctionDef) and not item.name.startswith("_") and not inherits:
            found[f"{node.name}.{item.name}"] = _parameters(item)
        elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and not inherits:
            found[f"{node.name}.{item.target.id}"] = set()
    return found


def test_the_table_names_everything_public_of_the_package() -> None:
    listed: dict[str, set[str]] = {}
    for theirs, ours, note in rows_of_the_table():
        assert ours != "–" or note, f"{theirs} has no counterpart, and no reason why"
        for name, arguments in spans(theirs):
            listed.setdefault(name, set()).update(arguments)
    public = public_names()
    assert exported() <= set(public)
    assert not {name: missing for name, wanted in public.items() if (missing := wanted - listed.get(name, set()))}
    assert set(listed) == set(public)


def test_every_name_of_ours_in_the_table_exists_with_its_arguments() -> None:
    names = [item for _, ours, _ in rows_of_the_table() for item in spans(ours) if ours != "–"]
    assert len(names) > 30
    for name, arguments in names:
        found = resolved(name)
        known = inspect.signature(found).parameters if arguments else {}
        assert set(arguments) <= set(known), name


def resolved(name: str) -> Any:
    assert name.startswith("certifair."), name
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise AssertionError(name)


def adult_like(n: int = 3000) -> Dataset:
    """Gender and race first among the inputs, as in the script; the label goes with both."""
    rng = np.random.default_rng(42)
    gender, race = (rng.random(n) < 0.67).astype(int), (rng.random(n) < 0.85).astype(int)
    inputs = rng.normal(size=(n, 6)) + 0.5 * gender[:, None]
    likely = 1 / (1 + np.exp(2.5 - inputs[:, 0] - inputs[:, 1] - gender - 0.5 * race))
    columns = ("gender", "race", *(f"x{k}" for k in range(6)))
    sensitive = {"gender": gender, "race": race}
    return Dataset.of(np.column_stack([gender, race, inputs]), sensitive, rng.random(n) < likely, columns=columns)


def thirds(data: Dataset) -> list[Dataset]:
    return list(split(data, {"train": 0.6, "validation": 0.2, "test": 0.2}, 42).values())


def fitted(data: Dataset, layer: FairnessLayer, **options: Any) -> tuple[FairModel, Any]:
    train, validation, _ = thirds(data)
    model = FairModel(mlp(data.inputs.shape[1], (16, 8), final=None), layer)
    config = TrainerConfig(**{"batch": 450, "epochs": 12, "learning_rate": 0.01, "patience": 15} | options)
    return model, Trainer(config).fit(model, train, validation)


LOGITS = torch.nn.functional.binary_cross_entropy_with_logits


def test_step_1_large_batches_with_hard_constraints() -> None:
    train, _, test = thirds(adult_like())
    layer = FairnessLayer("demographic_parity", 0.05, -10, 10, features=["gender", "race"])
    plan = plan_batches(train, layer, 450)
    assert sum(plan.sizes) == len(train)
    assert not plan.without
    model, history = fitted(adult_like(), layer, loss=LOGITS)
    served = model.predict(test.inputs, test.sensitive, batch=0)
    rows = rows_for(layer, len(test), test.sensitive)
    gaps = rows.values(served.predictions.reshape(-1)).abs()
    assert gaps.max() <= 0.05 < rows.values(served.scores.reshape(-1)).abs().max()
    before, after = history.epochs[0].validation, history.epochs[history.best_epoch - 1].validation
    assert after.loss < before.loss
    flat = [{"epoch": one.epoch, "loss": one.train_loss, "gap": one.validation.gap} for one in history.epochs]
    groups = test.sensitive["gender"]
    pictures = (
        plot_history(flat, 0.05),
        plot_groups(served.scores.numpy(), served.predictions.numpy(), groups),
        plot_tradeoff({"flayer": [(0.05, after.loss)]}, "loss"),
    )
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)


def test_step_2_small_batches() -> None:
    """The script serves these with the online algorithm; weighted average, pooled gap and λ are read off it."""
    layer = FairnessLayer("demographic_parity", 0.05, -10, 10, features=["gender"], values={"gender": ["0", "1"]})
    model, _ = fitted(adult_like(), layer, loss=LOGITS)
    test = thirds(adult_like())[2]
    scores = FairModel(model.backbone).predict(test.inputs).scores.reshape(-1).numpy()
    online = PrimalDual("demographic_parity", 0.05, -10, 10, features=["gender"], values=layer.values, eta0=0.5)
    state, served, gaps = online.init(), np.empty(len(test)), []
    for start in range(0, len(test), 16):
        people = np.arange(start, min(start + 16, len(test)))
        given = test.take(people).sensitive
        state, served[people], record = online.step(state, scores[people], given)
        gap = rows_for(layer, len(people), given).gap(torch.from_numpy(served[people]))
        assert (gap is None) == bool(record.absent)
        gaps += [] if gap is None else [(gap, len(people))]
    people_counted = sum(n for _, n in gaps)
    average = sum(gap * n for gap, n in gaps) / people_counted
    pooled = rows_for(layer, len(test), test.sensitive).gap(torch.from_numpy(served))
    assert len(gaps) > 30
    eta = 0.5 / len(gaps) ** 0.5
    assert average <= 0.05 + state.multipliers[0] / (eta * people_counted) + 1e-9
    assert pooled is not None
    assert pooled != pytest.approx(average, rel=1e-6)


def test_step_3_mean_residuals_in_regression() -> None:
    rng = np.random.default_rng(42)
    protected = rng.binomial(1, 0.3, 2000)
    inputs = rng.normal(size=(2000, 10))
    inputs[:, 0] += 0.5 * protected
    target = 3 * inputs[:, 0] - 2 * inputs[:, 1] + inputs[:, 2] + rng.normal(size=2000) * 0.5 + 2.0 * protected
    data = Dataset.of(np.column_stack([protected, inputs]), {"a": protected}, target)
    layer = FairnessLayer("equalized_residuals", 0.1, -20, 20, features=["a"])
    model, history = fitted(data, layer, loss="mse")
    test = thirds(data)[2]
    assert test.labels is not None
    served = model.predict(test.inputs, test.sensitive, test.labels)
    rows = rows_for(layer, len(test), test.sensitive, test.labels)
    assert rows.gap(served.predictions.reshape(-1)) <= 0.1 + 1e-12
    assert ((served.predictions.reshape(-1) - test.labels) ** 2).mean() < test.labels.var()
    assert not history.served_with_layer  # labels are not known while serving: there the script uses them


@final
class OwnOdds(Metric):
    """Equalized odds as a user would write it."""

    name = "own_odds"
    label_conditions = ("0", "1")
    needs_label = True

    def rows(
        self, partitions: Sequence[Partition], conditions: Sequence[str], condition_on: str | None
    ) -> tuple[Row, ...]:
        return pair_rows(partitions, conditions, condition_on)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        one, none = Fraction(1), Fraction(0)
        return (Example(groups=("a", "b"), values=("a", "b"), labels=(1, 1), predictions=(one, none), gap=one),)


def test_step_4_a_metric_of_ones_own() -> None:
    test = thirds(adult_like())[2]
    options = {"lower": -10, "upper": 10, "features": ["gender"]}
    own, ours = (FairnessLayer(metric, 0.05, **options) for metric in (OwnOdds(), "equalized_odds"))
    model, _ = fitted(adult_like(), own, loss=LOGITS, weight_decay=0.01, epochs=4)
    served = model.predict(test.inputs, test.sensitive, test.labels).predictions
    rows = rows_for(ours, len(test), test.sensitive, test.labels)
    assert len(rows.rows) == 2
    assert rows.gap(served.reshape(-1)) <= 0.05 + 1e-12
    named = FairModel(model.backbone, ours).predict(test.inputs, test.sensitive, test.labels).predictions
    assert torch.equal(served, named)


def test_the_attributes_can_be_kept_from_the_network() -> None:
    shown = hide_sensitive(adult_like())
    assert shown.columns == tuple(f"x{k}" for k in range(6))
    assert list(shown.sensitive) == ["gender", "race"]
