"""The paper's algorithm: multipliers bit by bit, purity, states that travel, what is refused."""

from __future__ import annotations

import copy
import json
import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from certifair.errors import InputError
from certifair.evidence.canonical import canonical, strict_json
from certifair.online import PrimalDual, PrimalDualState
from tests.online.paper_cases import SETTINGS, SEX, SIZES, TOWN, run, stream
from tests.oracles import online_oracle as oracle


@pytest.mark.parametrize("options", SETTINGS)
def test_multipliers_follow_bit_by_bit_from_the_predictions_alone(options: dict[str, Any]) -> None:
    online = PrimalDual(**options)
    rows = oracle.rows_of(online.description)
    start = PrimalDualState(41, tuple(0.1 * k for k in range(len(rows))))
    for state in (online.init(), start):
        algorithm = strict_json(canonical(online.description_from(state)))
        batches = stream(algorithm, SIZES, seed=5)
        served, last = run(online, batches, state)
        people = [people for _, people in batches]
        expected = list(oracle.multipliers(algorithm, [(p, y) for p, (y, _) in zip(people, served, strict=True)]))
        for (y, record), who, (step, eta, lambdas) in zip(served, people, expected[:-1], strict=True):
            values = [step, eta, *lambdas]
            names = ["step", "eta", *(f"multiplier.{row.name}" for row in rows)]
            assert list(record.columns.items()) == list(zip(names, values, strict=True))
            assert record.people == len(who)
            assert list(record.absent) == [row.name for row in rows if oracle.gap_of(row, who, y) is None]
        assert (last.step + 1, list(last.multipliers)) == (expected[-1][0], expected[-1][2])
        assert max(last.multipliers) > 0


@pytest.mark.parametrize("options", SETTINGS)
def test_predictions_lie_on_the_grid_and_in_the_box(options: dict[str, Any]) -> None:
    online = PrimalDual(**options)
    served, _ = run(online, stream(online.description, SIZES, seed=6), online.init())
    demand = online.demand
    for y, _ in served:
        assert all(demand.lower <= Fraction(value) <= demand.upper for value in y)
        assert all((Fraction(value) / demand.grid.step).denominator == 1 for value in y)


def test_the_first_batch_is_only_clipped_and_rounded() -> None:
    online = PrimalDual(**SETTINGS[0])
    state, y, _ = online.step(online.init(), [-0.25, 0.1, 1.5], ["f", "m", "m"])
    assert y.dtype == np.float64
    assert y.tolist() == [0.0, round(0.1 * 2**40) / 2**40, 1.0]
    assert online.step(state, [0.25, 0.5], ["f", "m"])[1].tolist() != [0.25, 0.5]


def test_a_batch_in_which_no_row_counts() -> None:
    skip, zero = (PrimalDual("demographic_parity", "0.02", absent=absent, **SEX) for absent in ("skip", "zero"))
    start = PrimalDualState(3, (0.5,))
    state, y, record = skip.step(start, [0.25, 0.75], ["m", "m"])
    assert state == start
    assert (y.tolist(), record.absent, record.columns["step"]) == ([0.25, 0.75], ("sex: f - m",), 4)
    assert skip.step(state, [0.25], ["f"])[2].columns["step"] == 4
    moved = zero.step(start, [0.25, 0.75], ["m", "m"])[0]
    assert moved == PrimalDualState(4, (0.5 + 0.5 / math.sqrt(4) * (2.0 * (0.0 - 0.02)),))
    assert zero.step(PrimalDualState(3, (0.001,)), [0.25], ["m"])[0] == PrimalDualState(4, (0.0,))


def test_a_tensor_gives_a_tensor() -> None:
    online = PrimalDual(**SETTINGS[0])
    state = PrimalDualState(0, (0.05,))
    scores = np.array([0.1, 0.7, 0.4, 0.6], dtype=np.float32)
    expected = online.step(state, scores, ["f", "m", "f", "m"])[1]
    for tensor in (torch.from_numpy(scores), torch.from_numpy(scores).double().requires_grad_()):
        after, y, _ = online.step(state, tensor, ["f", "m", "f", "m"])
        assert isinstance(y, torch.Tensor)
        assert (y.dtype, y.requires_grad, y.tolist()) == (torch.float64, False, expected.tolist())
        assert after == online.step(state, scores, ["f", "m", "f", "m"])[0]
    assert online.step(state, [0, 1], ["f", "m"])[1].dtype == np.float64


def test_a_step_changes_nothing() -> None:
    online = PrimalDual(**SETTINGS[2])
    (scores, people), *others = stream(online.description, [16, 16, 16], seed=7)
    z, columns = np.array(scores), {c: [p[c] for p in people] for c in ("sex", "age")}
    state = PrimalDualState(2, (0.25,) * 4)
    before = copy.deepcopy((state, z, columns, online.description))
    first = online.step(state, z, columns)
    kept = first[1].copy()
    run(online, others, first[0])  # other batches in between
    second = online.step(state, z, columns)
    assert first[0] == second[0]
    assert first[1].tolist() == second[1].tolist() == kept.tolist()
    assert first[2] == second[2]
    assert (state, z.tolist(), columns, online.description) == (before[0], before[1].tolist(), *before[2:])
    with pytest.raises(AttributeError):
        state.step = 3  # type: ignore[misc]


CONTINUE = """
import json, sys
from pathlib import Path
from certifair.online import PrimalDual
options, batches = json.loads(Path(sys.argv[1]).read_text())
online = PrimalDual(**options)
state = online.restore(Path(sys.argv[2]))
for scores, columns in batches:
    state, y, record = online.step(state, [float.fromhex(text) for text in scores], columns)
    print([value.hex() for value in y.tolist()], [v.hex() for v in list(record.columns.values())[1:]])
online.save(Path(sys.argv[2]), state)
"""


def test_another_process_goes_on_bit_for_bit(tmp_path: Path) -> None:
    options = SETTINGS[2]
    online = PrimalDual(**options)
    batches = stream(online.description, SIZES, seed=8)
    _, middle = run(online, batches[:15], online.init())
    served, last = run(online, batches[15:], middle)
    saved, task = tmp_path / "state.json", tmp_path / "task.json"
    online.save(saved, middle)
    rest = [([s.hex() for s in z], {c: [p[c] for p in who] for c in ("sex", "age")}) for z, who in batches[15:]]
    task.write_text(json.dumps([options, rest]))
    command = [sys.executable, "-c", CONTINUE, str(task), str(saved)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    lines = [f"{[v.hex() for v in y]} {[v.hex() for v in list(r.columns.values())[1:]]}" for y, r in served]
    assert result.stdout.splitlines() == lines
    assert online.restore(saved) == last


@pytest.mark.parametrize("value", [0.0, 5e-324, 0.1, 1 / 3, 1.7976931348623157e308])
def test_a_state_is_dumped_exactly(value: float) -> None:
    online = PrimalDual(**SETTINGS[0])
    state = PrimalDualState(2**53 - 2, (value,))
    assert online.load(strict_json(canonical(online.dump(state)))) == state


def broken(**changes: Any) -> dict[str, Any]:
    online = PrimalDual(**SETTINGS[0])
    return {**online.dump(PrimalDualState(1, (0.5,))), **changes}


@pytest.mark.parametrize(
    ("dumped", "message"),
    [
        ([], "no state"),
        ({}, "no state"),
        (broken(start={"step": 1}), "no state"),
        (broken(start={"step": 1, "multipliers": ["x"]}), "no state"),
        (broken(start={"step": 1, "multipliers": [0.5]}), "no state"),
        (broken(start={"step": 1, "multipliers": []}), "number of multipliers"),
        (broken(start={"step": -1, "multipliers": ["0x1.0000000000000p-1"]}), "step"),
        (broken(start={"step": True, "multipliers": ["0x1.0000000000000p-1"]}), "step"),
        (broken(start={"step": 2**53, "multipliers": ["0x1.0000000000000p-1"]}), "step"),
        (broken(start={"step": 1, "multipliers": ["-0x1.0000000000000p-1"]}), "negative"),
        (broken(start={"step": 1, "multipliers": ["-0x0.0p+0"]}), "negative"),
        (broken(start={"step": 1, "multipliers": ["nan"]}), "not finite"),
        (broken(start={"step": 1, "multipliers": ["inf"]}), "not finite"),
        (broken(start={"step": 1, "multipliers": ["0x0.8p0"]}), "start differs"),
        (broken(start={"step": 1, "multipliers": ["0x1.0000000000000p-1"], "more": 1}), "start differs"),
        (broken(epsilon="0.03"), "epsilon differs"),
        (broken(absent="zero"), "absent differs"),
        (broken(values={"sex": ["m", "f"]}), "values differs"),
        (broken(name="pooled"), "name differs"),
        (broken(more=1), "more differs"),
        ({key: value for key, value in broken().items() if key != "eta0"}, "eta0 differs"),
    ],
)
def test_a_state_that_is_not_this_algorithms(dumped: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PrimalDual(**SETTINGS[0]).load(dumped)


@pytest.mark.parametrize("content", [b"", b"{", b'{"start": 0.5}', b"[1]"])
def test_a_file_that_is_no_state(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(content)
    with pytest.raises(InputError):
        PrimalDual(**SETTINGS[0]).restore(path)
    with pytest.raises(InputError, match="cannot be read"):
        PrimalDual(**SETTINGS[0]).restore(tmp_path / "none.json")


def test_the_header_of_a_log() -> None:
    online = PrimalDual("conditional_parity", 0.05, -1, "2.50", eta0=0.5, absent="zero", **TOWN)
    assert online.description == {
        "name": "paper",
        "metric": "conditional_parity",
        "sensitiveFeatures": ["sex"],
        "intersectional": False,
        "condition": "town",
        "values": {"sex": ["f", "m"], "town": ["yes", "no"]},
        "epsilon": "0.05",
        "lower": "-1",
        "upper": "2.5",
        "eta0": "0.5",
        "absent": "zero",
        "start": {"step": 0, "multipliers": ["0x0.0p+0", "0x0.0p+0"]},
    }
    assert online.row_names == ("sex | town=yes: f - m", "sex | town=no: f - m")


@pytest.mark.parametrize(
    ("scores", "groups", "message"),
    [
        ([0.5, math.nan], ["f", "m"], "score of row 2 is not a finite"),
        ([math.inf, 0.5], ["f", "m"], "score of row 1"),
        (torch.tensor([0.5, -math.inf]), ["f", "m"], "score of row 2"),
        ([], [], "somebody"),
        (np.zeros((2, 1)), ["f", "m"], r"shape \(2, 1\)"),
        (np.float64(1.0), ["f"], "not \\(n,\\) numbers"),
        (0.5, ["f"], "not \\(n,\\) numbers"),
        ("ab", ["f", "m"], "shape|numbers"),
        ([0.5, "1"], ["f", "m"], "not numbers"),
        ([0.5, None], ["f", "m"], "not numbers"),
        ([[0.5], [0.5, 1.0]], ["f", "m"], "not \\(n,\\) numbers"),
        ([True, False], ["f", "m"], "bool, not numbers"),
        ([1j, 0], ["f", "m"], "complex128"),
        (torch.tensor([0.5, 0.5], dtype=torch.float16), ["f", "m"], "float16"),
        (torch.tensor([1, 2]), ["f", "m"], "int64"),
        ([0.5, 0.5], ["f"], "1 values for 2 scores"),
        ([0.5, 0.5], ["f", "x"], "undeclared value 'x'"),
        ([0.5, 0.5], ["f", None], "missing in row 2"),
        ([0.5, 0.5], None, "shape"),
    ],
)
def test_a_batch_that_cannot_be_served(scores: Any, groups: Any, message: str) -> None:
    online = PrimalDual(**SETTINGS[0])
    with pytest.raises(InputError, match=message):
        online.step(online.init(), scores, groups)


def test_a_state_of_other_rows() -> None:
    with pytest.raises(InputError, match="4 multipliers, not 1"):
        PrimalDual(**SETTINGS[0]).step(PrimalDual(**SETTINGS[2]).init(), [0.5], ["f"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epsilon": "-0.1"}, "epsilon = '-0.1' is negative"),
        ({"epsilon": Fraction(1, 3)}, "no finite decimal"),
        ({"epsilon": math.nan}, "epsilon = nan"),
        ({"epsilon": "x"}, "epsilon = 'x'"),
        ({"lower": 1}, "lower must be below"),
        ({"lower": 2, "upper": 1}, "lower must be below"),
        ({"lower": "0.9999999999999", "upper": 1}, "too narrow"),
        ({"eta0": 0}, "eta0 = 0 is not positive"),
        ({"eta0": "1e400"}, "eta0"),
        ({"absent": "ignore"}, "absent = 'ignore'"),
        ({"metric": "equalized_odds"}, "needs labels"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PrimalDual(**{**SETTINGS[0], **changes})
