from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from certifair.errors import InputError
from certifair.layer import FairnessLayer
from certifair.spec.training import METHODS
from certifair.training import Dataset, EpochRecord, FairModel, History, Trainer, TrainerConfig, split
from certifair.training.batches import plan_batches
from tests.training.people import NAMES, model_of, parity, people, without_time

QUICK = TrainerConfig(epochs=4, batch=60, learning_rate=0.01, patience=0)


def trained(
    config: TrainerConfig, layer: FairnessLayer | None, n: int = 240, **options: bool
) -> tuple[FairModel, History]:
    parts = split(people(n), {"train": 0.75, "validation": 0.25}, 0)
    model = model_of(parts["train"], layer, **options)
    return model, Trainer(config).fit(model, parts["train"], parts["validation"])


def same_weights(a: FairModel, b: FairModel) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.fixture(scope="module")
def histories() -> dict[str, History]:
    config = TrainerConfig(epochs=20, batch=120, learning_rate=0.02, patience=0)
    return {name: trained(replace(config, method=name), parity(0.02), 600)[1] for name in METHODS}


def test_every_method_learns(histories: dict[str, History]) -> None:
    for name, history in histories.items():
        assert history.method == name
        assert len(history.epochs) == history.best_epoch == 20
        assert history.epochs[-1].train_loss < history.epochs[0].train_loss
        last = history.epochs[-1].validation
        assert last is not None
        assert last.accuracy is not None
        assert last.accuracy > 0.55
        assert all(record.skipped.batches == 0 for record in history.epochs)


def test_methods_differ_as_they_should(histories: dict[str, History]) -> None:
    last = {name: history.epochs[-1].train for name, history in histories.items()}
    gaps = {name: measures.gap for name, measures in last.items() if measures}
    assert gaps["plain"] > 0.15  # a real disparity
    assert gaps["flayer"] <= 0.02 + 1e-7
    assert gaps["projection"] <= 0.02 + 1e-7
    assert gaps["strict_penalty"] < gaps["penalty"] < gaps["plain"]
    assert last["projection"].score_gap == gaps["plain"]  # type: ignore[union-attr]
    assert last["flayer"].loss < last["projection"].loss  # type: ignore[union-attr]
    assert {name for name, history in histories.items() if history.served_with_layer} == {"flayer", "projection"}


def test_every_batch_of_flayer_is_trained_within_epsilon_exactly() -> None:
    data, seen = people(200), []

    def loss(predictions: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seen.append([Fraction(value) for value in predictions.detach().reshape(-1).tolist()])
        return ((predictions - labels) ** 2).mean()

    config = replace(QUICK, loss=loss, measure_train=False, learning_rate=0.05, batch=50, epochs=6)
    layer = parity("0.01")
    Trainer(config).fit(model_of(data, layer), data)
    plan = plan_batches(data, layer, 50)
    batches = [people for epoch in range(1, 7) for people in plan.epoch(0, epoch)]
    assert len(seen) == len(batches) == 24
    for values, batch in zip(seen, batches, strict=True):
        women = data.sensitive["sex"][batch] == "f"
        f, m = ([value for value, woman in zip(values, women, strict=True) if woman == wanted] for wanted in (1, 0))
        assert abs(sum(f) / len(f) - sum(m) / len(m)) <= Fraction(1, 100)


def test_histories_are_json(histories: dict[str, History]) -> None:
    for history in histories.values():
        found = json.loads(json.dumps(history.to_dict(), allow_nan=False))
        assert [EpochRecord.from_dict(item) for item in found["epochs"]] == list(history.epochs)


@pytest.mark.parametrize("name", METHODS)
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    runs = []
    for _ in range(2):
        torch.rand(1)  # the global generator stands elsewhere each time
        before = torch.get_rng_state()
        runs.append(trained(replace(QUICK, method=name), parity(), dropout=True))
        assert torch.equal(torch.get_rng_state(), before)
    assert same_weights(runs[0][0], runs[1][0])
    assert without_time(runs[0][1]) == without_time(runs[1][1])
    other = trained(replace(QUICK, method=name, seed=1), parity(), dropout=True)
    assert not same_weights(runs[0][0], other[0])


@pytest.mark.parametrize("patience", [0, 3])
def test_resume_goes_on_bit_for_bit(tmp_path: Path, patience: int) -> None:
    data = split(people(200), {"train": 0.7, "validation": 0.3}, 0)
    config = replace(QUICK, epochs=6, patience=patience, weight_decay=0.01)

    def fit(config: TrainerConfig, **options: Path) -> tuple[FairModel, History]:
        model = model_of(data["train"], parity(), dropout=True)
        return model, Trainer(config).fit(model, data["train"], data["validation"], **options)

    whole = fit(config)
    path = tmp_path / "half.safetensors"
    half = fit(replace(config, epochs=3), checkpoint=path)
    assert len(half[1].epochs) == 3
    torch.manual_seed(99)
    resumed = fit(config, resume=path, checkpoint=path)
    assert same_weights(resumed[0], whole[0])
    assert without_time(resumed[1]) == without_time(whole[1])
    finished = fit(config, resume=path)
    assert same_weights(finished[0], whole[0])
    assert without_time(finished[1]) == without_time(whole[1])


def test_checkpoints_are_of_every_epoch_and_hold_no_pickle(tmp_path: Path) -> None:
    data, path = people(100), tmp_path / "c.safetensors"
    seen: list[int] = []

    def look(record: EpochRecord) -> None:
        content = path.read_bytes()
        assert safetensors.torch.load(content)["weights.backbone.0.mean"].shape == (5,)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        seen.append(len(json.loads(header["__metadata__"]["certifair"])["records"]))
        assert record.epoch == seen[-1]

    Trainer(QUICK).fit(model_of(data, parity()), data, checkpoint=path, progress=look)
    assert seen == [1, 2, 3, 4]
    assert [item.name for item in tmp_path.iterdir()] == ["c.safetensors"]


def test_resume_refuses_what_does_not_fit(tmp_path: Path) -> None:
    data, path = people(100), tmp_path / "c.safetensors"
    Trainer(QUICK).fit(model_of(data, parity()), data, checkpoint=path)

    def resume(config: TrainerConfig = QUICK, given: Dataset = data, model: FairModel | None = None) -> None:
        Trainer(config).fit(model or model_of(data, parity()), given, resume=path)

    with pytest.raises(InputError, match=r"trained with learning_rate = 0.01, not 0.5; resume with the same"):
        resume(replace(QUICK, learning_rate=0.5))
    with pytest.raises(InputError, match="trained with data ="):
        resume(given=people(100, 1))
    with pytest.raises(InputError, match=r"c\.safetensors: does not fit this model"):
        resume(model=FairModel(torch.nn.Linear(5, 1), parity()))
    for content in (b"", b"\x80\x04K\x01.", safetensors.torch.save({"x": torch.zeros(1)}), path.read_bytes()[:-5]):
        path.write_bytes(content)
        with pytest.raises(InputError, match="is no checkpoint of certifair"):
            resume()
    path.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        resume()


def test_early_stopping_keeps_the_best_weights() -> None:
    """Labels of noise: validation soon gets worse."""
    rng = np.random.default_rng(0)
    data = [Dataset.of(rng.normal(size=(80, 5)), rng.integers(0, 2, 80), rng.integers(0, 2, 80)) for _ in range(2)]
    layer = FairnessLayer("demographic_parity", 0.1)
    config = TrainerConfig(epochs=200, batch=40, learning_rate=0.05, patience=4)
    model = model_of(data[0], layer)
    history = Trainer(config).fit(model, *data)
    assert history.stopped_early
    assert len(history.epochs) == history.best_epoch + 4 < 200
    objectives = [record.validation.objective for record in history.epochs if record.validation]
    assert min(objectives) == objectives[history.best_epoch - 1]
    until = model_of(data[0], layer)
    Trainer(replace(config, epochs=history.best_epoch, patience=0)).fit(until, *data)
    assert same_weights(model, until)


def test_nothing_stops_early_without_validation_data() -> None:
    data = people(60)
    history = Trainer(replace(QUICK, patience=1)).fit(model_of(data, parity()), data, data.take(np.arange(0)))
    assert (len(history.epochs), history.best_epoch, history.stopped_early) == (4, 4, False)
    assert history.epochs[0].validation is None


def contradicting(n: int, outside: int) -> Dataset:
    """Residuals of 0 are asked for; the labels of the first people lie outside the box."""
    data = people(n, regression=False)
    labels = torch.full((n,), 0.5, dtype=torch.float64)
    labels[:outside] = 50
    return replace(data, labels=labels)


def test_batches_that_cannot_be_projected_are_skipped_and_counted() -> None:
    data = contradicting(60, 1)
    layer = parity(0.05, "equalized_residuals")
    config = replace(QUICK, loss="mse", batch=20, measure_train=True)
    history = Trainer(config).fit(model_of(data, layer), data)
    plan = plan_batches(data, layer, 20)
    for record in history.epochs:
        bad = next(batch for batch in plan.epoch(0, record.epoch) if 0 in batch)
        assert record.skipped.batches == 1
        assert record.skipped.rows == len(bad)
        assert record.skipped.groups == plan.groups(bad)
        assert "infeasible" in record.skipped.reason
        assert record.train is not None
        assert record.train.objective is None
        assert "infeasible" in record.train.failed


def test_where_no_batch_can_be_projected_training_ends() -> None:
    data = contradicting(60, 60)
    with pytest.raises(InputError, match=r"none of the 3 batches of epoch 1 could be projected \(.*infeasible"):
        Trainer(replace(QUICK, loss="mse", batch=20)).fit(model_of(data, parity(0.05, "equalized_residuals")), data)


def test_a_validation_set_that_cannot_be_projected_is_no_improvement() -> None:
    config = replace(QUICK, loss="mse", patience=2, epochs=10)
    model = model_of(people(60), parity(0.4, "equalized_residuals"))
    history = Trainer(config).fit(model, people(60), contradicting(30, 30))
    assert history.stopped_early
    assert len(history.epochs) == history.best_epoch == 2
    assert history.epochs[0].validation is not None
    assert "infeasible" in history.epochs[0].validation.failed


def test_hide_sensitive_hides_from_the_network_only() -> None:
    data = split(people(200), {"train": 0.7, "validation": 0.3}, 0)
    shown = data["train"].inputs[:, :3]
    model = model_of(replace(data["train"], inputs=shown, columns=NAMES[:3]), parity(0.01))
    history = Trainer(replace(QUICK, hide_sensitive=True)).fit(model, data["train"], data["validation"])
    assert history.hidden == ("sex=f", "sex=m")
    assert history.epochs[-1].validation is not None
    assert history.epochs[-1].validation.gap is not None
    assert history.epochs[-1].validation.gap <= 0.01 + 1e-7
    assert history.plan["batches"] == 3


def test_metrics_with_labels_train_with_the_layer_and_serve_without() -> None:
    history = trained(QUICK, parity(0.01, "equalized_odds"))[1]
    assert not history.served_with_layer
    last = history.epochs[-1].validation
    assert last is not None
    assert last.gap == last.score_gap


def test_any_module_and_any_loss() -> None:
    data = people(100, regression=True)
    model = FairModel(torch.nn.Sequential(torch.nn.BatchNorm1d(5), torch.nn.Linear(5, 1), torch.nn.Flatten(0)))
    model.eval()
    config = replace(QUICK, method="plain", loss=torch.nn.functional.l1_loss, learning_rate=0.5)
    history = Trainer(config).fit(model, data)
    assert not model.training
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss
    assert history.epochs[-1].train is not None
    assert history.epochs[-1].train.gap is None
    assert config.to_dict()["loss"] == "l1_loss"


@pytest.mark.parametrize(
    ("config", "text"),
    [({"epochs": 0}, "epochs = 0"), ({"batch": 1.5}, "batch = 1.5"), ({"learning_rate": 0}, "learning_rate"),
     ({"weight_decay": -1}, "weight_decay"), ({"seed": -1}, "seed = -1"), ({"patience": True}, "patience = True")],
)  # fmt: skip
def test_configurations_are_checked(config: dict[str, object], text: str) -> None:
    with pytest.raises(InputError, match=text):
        TrainerConfig(**config)  # type: ignore[arg-type]


def test_fit_refuses() -> None:
    data = people(40)
    with pytest.raises(InputError, match="flayer needs a fairness layer"):
        Trainer().fit(model_of(data, None), data)
    with pytest.raises(InputError, match="pass labels="):
        Trainer().fit(model_of(data, parity()), replace(data, labels=None))
    with pytest.raises(InputError, match="nothing to train"):
        Trainer().fit(FairModel(torch.nn.Flatten(), parity()), data)
    model = FairModel(torch.nn.Linear(5, 1))
    with pytest.raises(InputError, match="lower the learning rate"):
        Trainer(replace(QUICK, method="plain", loss="mse", learning_rate=1e30, epochs=50)).fit(model, data)


def test_a_network_that_starts_outside_the_box_is_told_so() -> None:
    inputs = torch.rand(40, 2)
    data = Dataset(inputs, {"g": np.array(["a", "b"] * 20)}, torch.rand(40))
    backbone = torch.nn.Linear(2, 1)
    with torch.no_grad():
        backbone.bias.fill_(-50.0)
    model = FairModel(backbone, FairnessLayer("demographic_parity", 0.1))
    with pytest.raises(InputError, match="every gradient of epoch 1 was 0"):
        Trainer(TrainerConfig(epochs=3, batch=0, loss="mse")).fit(model, data)
