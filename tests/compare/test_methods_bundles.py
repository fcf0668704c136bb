"""Networks that serve a data set's people one by one: the same evidence as of a network on its own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("torch", reason="PyTorch is absent: people are encoded as for training")
from certifair.compare.bundles import people, served_by_network
from certifair.compare.policy import PART
from certifair.errors import InputError
from certifair.evidence.network_bundle import bundle_network
from certifair.evidence.onnx_writer import write_network
from certifair.spec.network import Affine, Network
from tests.compare.method_cases import base_network, case_of, people_set, served


def test_the_bundle_is_that_of_the_network_on_its_own(tmp_path: Path) -> None:
    data, content = people_set(tmp_path), write_network(base_network())
    case = case_of(dataclasses.replace(data, model=tmp_path / "model.onnx"), "plain")
    crowd = people(case)
    found = served_by_network(case, content, tmp_path / "run", crowd=crowd)
    table = crowd.table.append_column(PART, [pa.array(np.where(crowd.test, "test", "train"))])
    count = bundle_network(table, tmp_path / "run" / "policy.toml", tmp_path / "alone", content, data.domain)
    assert count == len(found.predictions) == 200
    for file in (path for path in (tmp_path / "alone").iterdir() if path.name != "manifest.json"):
        assert (tmp_path / "run" / file.name).read_bytes() == file.read_bytes()
    assert np.array_equal(served(tmp_path / "run")[0], found.predictions)
    manifests = [json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("run", "alone")]
    assert [item["count"] for manifest in manifests for item in manifest["exclusions"]] == [400, 400]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (Affine(0, np.ones((1, 2)), np.zeros(1)), "takes 2 inputs"),
        (Affine(0, np.ones((2, 3)), np.zeros(2)), "gives 2 outputs"),
        (Affine(0, np.full((1, 3), 1e308), np.zeros(1)), "no finite number to the person"),
    ],
)
def test_a_network_that_cannot_serve_everybody_is_refused(tmp_path: Path, step: Affine, said: str) -> None:
    content = write_network(Network(step.weight.shape[1], (step,), 1))
    with pytest.raises(InputError, match=said):
        served_by_network(case_of(people_set(tmp_path), "plain"), content, tmp_path / "run")
    assert not (tmp_path / "run").exists()
