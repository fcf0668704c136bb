from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certifair.errors import InputError
from certifair.evidence.bundle import OPTIONAL, PATHS, Contents, load, manifest_of, read_contents
from certifair.evidence.canonical import canonical, sha256, strict_json
from certifair.evidence.columns import table_bytes
from certifair.evidence.groups import group_table
from certifair.evidence.inputs import Input, Inputs
from certifair.exact.decimals import largest_float_at_most
from certifair.spec.groups import partitions_of
from tests.checks.bundles import Sample, contents_of, evidence_of, property_of
from tests.oracles import metric_oracle as oracle
from tests.oracles.metric_oracle import Question

DECLARED = {"g": ("a", "b"), "h": ("x", "y", "z")}
SAMPLE = Sample(
    DECLARED,
    {"g": ["a", "b", "a", "b"], "h": ["x", "y", "x", "y"]},
    [0.5, 0.25, 1.0, 0.0],
    [0.5, 0.5, 0.5, 0.5],
    [0.0, 1.0, 1.0, 0.0],
    ["p", "q", "p", "q"],
    layer='[layer]\nmetric = "demographic_parity"\nsensitive_features = "g"\nepsilon = 1',
    multipliers=[("p", "g: a - b", 0.5)],
    properties=[property_of(Question("equalized_odds", ("g",), DECLARED, Fraction(1)))],
    model=b"weights",
    witness=b"{}",
    gradients=b'{"format":"certifair-gradients/0"}',
    preprocessing=Inputs((Input("x", "number"), Input("job", "category", ("x", "z")))),
    inputs={
        "x": [0.5, 1.0, -2.0, 0.0],
        "job": ["x", "y", "z", "x"],
        "h": ["x", "y", "x", "y"],
        "unused": [1.0, 2.0, 3.0, 4.0],
    },
)


def written(folder: Path, contents: Contents) -> Path:
    folder.mkdir()
    for role, content in contents.items():
        (folder / PATHS[role]).parent.mkdir(exist_ok=True)
        (folder / PATHS[role]).write_bytes(content)
    return folder


def remade(contents: Contents, **changes: bytes) -> Contents:
    """Contents with some files replaced, and a manifest that fits."""
    found = {**contents, **changes}
    return {**found, "manifest": manifest_of(found, [])}


def table_of(contents: Contents, role: str) -> pa.Table:
    return pq.read_table(pa.BufferReader(contents[role]))


def replaced(role: str, name: str, column: Any) -> Contents:
    """One column replaced (None: taken out), everything else in order."""
    contents = contents_of(SAMPLE)
    table = table_of(contents, role)
    if column is None:
        table = table.drop_columns([name])
    else:
        table = table.set_column(table.column_names.index(name), name, [column])
    return remade(contents, **{role: table_bytes(table)})


def refused(contents: Contents) -> str:
    with pytest.raises(InputError) as caught:
        load(contents, "RUN")
    message = str(caught.value)
    assert message.startswith("RUN")
    assert "\n" not in message
    return message


# -------------------------------------------------------------------------------------------------- a good bundle
def test_a_bundle_is_read_as_it_was_written(tmp_path: Path) -> None:
    contents = contents_of(SAMPLE)
    run = written(tmp_path / "run", contents)
    assert read_contents(run) == contents
    evidence = load(contents, "RUN")
    assert evidence.predictions.tolist() == SAMPLE.predictions
    assert evidence.batch_names == ("p", "q")
    assert evidence.batch.tolist() == [0, 1, 0, 1]
    assert evidence.codes["h"].tolist() == [0, 1, 0, 1]
    assert evidence.values["h"] == ("x", "y", "z")
    assert evidence.multipliers == {"p": {"g: a - b": 0.5}, "q": {}}
    assert [item["role"] for item in evidence.materials] == list(PATHS)
    assert [item["rowCount"] for item in evidence.materials] == [4, 4, 1, *[None] * 7]
    assert evidence.model == b"weights"
    assert evidence.inputs is not None
    assert evidence.inputs.tolist() == [[0.5, 1, 0], [1, 0, 0], [-2, 0, 1], [0, 1, 0]]
    assert [evidence.row_id(row) for row in range(4)] == ["1", "2", "3", "4"]
    for item in evidence.materials:
        assert item["sha256"] == sha256(contents[item["role"]])


def test_the_same_table_gives_the_same_bytes() -> None:
    assert contents_of(SAMPLE) == contents_of(SAMPLE)
    table = pa.table({"a": [1, 2]})
    assert table_bytes(table) == table_bytes(table.replace_schema_metadata({"pandas": "clock"}))


def test_batches_stand_in_order_of_appearance() -> None:
    rng = np.random.default_rng(0)
    names = [f"b{k}" for k in rng.integers(0, 40, 500)]
    sample = Sample({"g": ("a",)}, {"g": ["a"] * 500}, [0.5] * 500, batches=names)
    evidence = evidence_of(sample)
    assert evidence.batch_names == tuple(dict.fromkeys(names))
    assert [evidence.batch_names[k] for k in evidence.batch] == names
    one = evidence_of(Sample({"g": ("a",)}, {"g": ["a"] * 3}, [0.5] * 3, batches=["only"] * 3))
    assert (one.batch_names, one.batch.tolist()) == (("only",), [0, 0, 0])


def test_dictionaries_in_several_row_groups_are_one() -> None:
    """Parquet starts a new dictionary in every row group; names must not be split or mixed up by that."""
    contents = contents_of(SAMPLE)
    sink = pa.BufferOutputStream()
    table = table_of(contents, "predictions").set_column(1, "batch_id", [pa.array(["q", "p", "p", "q"])])
    pq.write_table(table.replace_schema_metadata(None), sink, row_group_size=1, store_schema=False)
    data = pa.BufferOutputStream()
    pq.write_table(table_of(contents, "data"), data, row_group_size=1, store_schema=False)
    multipliers = table_bytes(pa.table({"batch_id": ["p"], "row": ["g: a - b"], "multiplier": [0.5]}))
    evidence = load(
        remade(
            contents,
            predictions=sink.getvalue().to_pybytes(),
            data=data.getvalue().to_pybytes(),
            multipliers=multipliers,
        ),
        "RUN",
    )
    assert (evidence.batch_names, evidence.batch.tolist()) == (("q", "p"), [0, 1, 1, 0])
    assert evidence.codes["g"].tolist() == [0, 1, 0, 1]


def test_a_dictionary_that_names_a_batch_twice_is_one_batch() -> None:
    doubled = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 1], pa.int32()), pa.array(["p", "q", "p"]))
    evidence = load(replaced("predictions", "batch_id", doubled), "RUN")
    assert len(set(evidence.batch_names)) == len(evidence.batch_names)
    assert [evidence.batch_names[k] for k in evidence.batch] == ["p", "q", "p", "q"]


# --------------------------------------------------------------------------------------------------- cross-checks
I32 = pa.int32()
COLUMNS: dict[str, tuple[str, str, Any, str]] = {
    "group codes edited": ("predictions", "group.g", pa.array([0, 0, 0, 1], I32), "group.g differs from the data"),
    "group codes missing": ("predictions", "group.g", pa.array([0, None, 0, 1], I32), "group.g differs from the data"),
    "group codes as floats": (
        "predictions",
        "group.g",
        pa.array([0.0, 1.0, 0.0, 1.0]),
        "group.g",
    ),
    "no group codes": ("predictions", "group.h", None, "no column 'group.h'"),
    "values edited": ("data", "feature.g", pa.array(["b", "b", "a", "b"]), "group.g differs from the data"),
    "an undeclared value": (
        "data",
        "feature.g",
        pa.array(["a", "c", "a", "b"]),
        "'g' has the undeclared value 'c' in row 2",
    ),
    "a missing value": ("data", "feature.g", pa.array(["a", None, "a", "b"]), "'g'"),
    "no values": ("data", "feature.g", None, "no column 'feature.g'"),
    "other ids": ("predictions", "row_id", pa.array([1, 2, 4, 3]), "row_id differs"),
    "ids of another type": ("predictions", "row_id", pa.array([1, 2, 3, 4], I32), "row_id"),
    "a missing id": ("predictions", "row_id", pa.array([1, 2, 3, None]), "row_id differs"),
    "no ids": ("data", "row_id", None, "no column 'row_id'"),
    "no batch": ("predictions", "batch_id", None, "no column 'batch_id'"),
    "a missing batch": ("predictions", "batch_id", pa.array(["p", None, "p", "q"]), "batch_id is missing"),
    "no prediction": ("predictions", "prediction", None, "no column 'prediction'"),
    "a missing prediction": (
        "predictions",
        "prediction",
        pa.array([0.5, None, 0.5, 0.5]),
        "'prediction' is missing in row 2",
    ),
    "a prediction that is no number": (
        "predictions",
        "prediction",
        pa.array([0.5, math.nan, 0.5, 0.5]),
        "'prediction' is nan in row 2",
    ),
    "an infinite score": ("predictions", "score", pa.array([0.5, 0.5, -math.inf, 0.5]), "'score' is -inf in row 3"),
    "no label": ("data", "label", None, "has no label, which equalized_odds needs"),
    "a label of 2": ("data", "label", pa.array([0.0, 1.0, 1.0, 2.0]), "the label is 2 in row 4"),
    "a multiplier of no batch": ("multipliers", "batch_id", pa.array(["z"]), "row 1 names an unknown batch"),
    "an infinite multiplier": ("multipliers", "multiplier", pa.array([math.inf]), "'multiplier' is inf in row 1"),
    "no multiplier": ("multipliers", "multiplier", None, "no column 'multiplier'"),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_tables_must_fit_each_other(case: str) -> None:
    role, name, column, words = COLUMNS[case]
    assert words in refused(replaced(role, name, column))


STRANGE: dict[str, tuple[str, str, Any]] = {
    f"{name} of {kind}": (role, name, column)
    for role, name in (
        ("data", "row_id"),
        ("data", "feature.g"),
        ("data", "label"),
        ("predictions", "batch_id"),
        ("predictions", "group.g"),
        ("predictions", "prediction"),
        ("multipliers", "row"),
        ("multipliers", "batch_id"),
    )
    for kind, column in (
        ("lists", [[1]]),
        ("structures", [{"a": 1}]),
        ("bytes", [b"\xff"]),
        ("nothing", [None]),
    )
}


@pytest.mark.parametrize("case", STRANGE)
def test_columns_of_strange_types_are_an_input_error(case: str) -> None:
    """A forged bundle can hold anything: whatever it holds, it is refused and nothing else happens."""
    role, name, column = STRANGE[case]
    contents = contents_of(SAMPLE)
    rows = table_of(contents, role).num_rows
    changed = replaced(role, name, pa.array(column * rows))
    if name == "row_id":
        other = table_of(contents, "predictions").set_column(0, "row_id", [pa.array(column * rows)])
        changed = remade(changed, predictions=table_bytes(other))
    try:
        evidence = load(changed, "RUN")
    except InputError:
        return
    assert all(isinstance(text, str) for text in evidence.batch_names)
    assert name in ("row_id", "row")  # bytes are ids like others; unknown rows are refused by the claim


def test_two_columns_of_one_name_are_refused() -> None:
    contents = contents_of(SAMPLE)
    for role, name in (("predictions", "prediction"), ("predictions", "score"), ("data", "label"), ("data", "row_id")):
        table = table_of(contents, role).append_column(name, pa.array([0.0] * 4))
        refused(remade(contents, **{role: table_bytes(table)}))


def test_tables_of_other_lengths() -> None:
    contents = contents_of(SAMPLE)
    short = table_bytes(table_of(contents, "predictions").slice(0, 3))
    assert "row_id differs" in refused(remade(contents, predictions=short))
    empty = {role: table_bytes(table_of(contents, role).slice(0, 0)) for role in ("data", "predictions")}
    assert "has no row" in refused(remade(contents, **empty))
    doubled = {role: table_bytes(pa.concat_tables([table_of(contents, role)] * 2)) for role in ("data", "predictions")}
    assert "row_id 1 stands again in row 5" in refused(remade(contents, **doubled))


# ------------------------------------------------------------------------------------------------------- manifest
def with_manifest(change: Callable[[dict[str, Any]], None]) -> Contents:
    contents = contents_of(SAMPLE)
    manifest = strict_json(contents["manifest"])
    change(manifest)
    return {**contents, "manifest": canonical(manifest)}


@pytest.mark.parametrize("role", [role for role in PATHS if role != "manifest"])
@pytest.mark.parametrize("key", ["sha256", "rowCount", "path", "role"])
def test_the_manifest_must_state_every_file(role: str, key: str) -> None:
    def change(manifest: dict[str, Any]) -> None:
        entry = next(item for item in manifest["files"] if item["role"] == role)
        entry[key] = {"sha256": "0" * 64, "rowCount": 5, "path": "../x", "role": "schema"}[key]

    message = refused(with_manifest(change))
    assert f"does not match its entry in the manifest ({role})" in message
    assert PATHS[role] in message


def test_the_manifest_must_list_these_files_only() -> None:
    entry = {"role": "log", "path": "log/1.parquet", "sha256": "0" * 64, "rowCount": 1}
    assert "other files" in refused(with_manifest(lambda manifest: manifest["files"].append(entry)))
    assert "other files" in refused(with_manifest(lambda manifest: manifest["files"].append(manifest["files"][0])))
    assert "does not match" in refused(with_manifest(lambda manifest: manifest["files"].pop()))
    assert "is not a certifair-bundle/0 manifest" in refused(with_manifest(lambda manifest: manifest.pop("format")))
    assert "is not a certifair-bundle/0 manifest" in refused(with_manifest(lambda manifest: manifest.pop("exclusions")))
    assert "does not match" in refused(with_manifest(lambda manifest: manifest.update(files=None)))


def test_a_file_more_or_less_than_listed() -> None:
    contents = contents_of(SAMPLE)
    without = {role: content for role, content in contents.items() if role != "multipliers"}
    assert "other files" in refused(without)
    plain = contents_of(Sample(**{**SAMPLE.__dict__, "multipliers": None}))
    assert "(multipliers)" in refused({**plain, "multipliers": contents["multipliers"]})


@pytest.mark.parametrize("role", ["manifest", "system"])
@pytest.mark.parametrize(
    "content", [b"", b"[]", b"3", b"{", b'{"a":1,"a":1}', b"\xef\xbb\xbf{}", b"\xff", b"[" * 100_000]
)
def test_json_that_is_none(role: str, content: bytes) -> None:
    contents = {**contents_of(SAMPLE), role: content}
    if role == "system":
        contents = remade(contents)
    assert PATHS[role] in refused(contents)


def test_the_system_must_be_the_policys() -> None:
    contents = contents_of(SAMPLE)
    system = strict_json(contents["system"])
    for key, value in (
        ("name", "other"),
        ("frozen", False),
        ("batch", 7),
        ("threshold", "0.7"),
        ("layer", None),
        ("extra", 1),
    ):
        changed = remade(contents, system=canonical({**system, key: value}))
        assert "does not describe the system of policy.toml" in refused(changed)
    missing = {key: value for key, value in system.items() if key != "heldOut"}
    assert "does not describe the system" in refused(remade(contents, system=canonical(missing)))


def test_numbers_are_no_truth_values_in_the_system() -> None:
    """In Python 1 == True: a system that says `"frozen": 1` is another document than its policy implies."""
    contents = contents_of(SAMPLE)
    system = strict_json(contents["system"])
    assert system["frozen"] is True
    assert "does not describe the system" in refused(remade(contents, system=canonical({**system, "frozen": 1})))


def test_the_policy_is_parsed_again() -> None:
    contents = contents_of(SAMPLE)
    assert "RUN/policy.toml" in refused(remade(contents, policy=b"nonsense = 1"))
    undeclared = contents["policy"].replace(b'g = ["a", "b"]', b"")
    assert "the values of 'g' are not declared" in refused(remade(contents, policy=undeclared))


@pytest.mark.parametrize("role", ["data", "predictions", "multipliers"])
def test_tables_that_are_no_parquet(role: str) -> None:
    contents = contents_of(SAMPLE)
    rng = np.random.default_rng(4)
    good = contents[role]
    broken = [b"", b"PAR1", good[:-1], good[: len(good) // 2], b"a,b\n1,2\n", good[:-30] + b"\xff" * 22 + good[-8:]]
    for _ in range(150):
        damaged = bytearray(good)
        for _ in range(int(rng.integers(1, 4))):
            damaged[int(rng.integers(len(damaged)))] = int(rng.integers(256))
        broken.append(bytes(damaged))
    for content in broken:
        # digests that fit, row counts as they were: what an owner could sign
        manifest = strict_json(contents["manifest"])
        for entry in manifest["files"]:
            if entry["role"] == role:
                entry["sha256"] = sha256(content)
        with contextlib.suppress(InputError):
            load({**contents, role: content, "manifest": canonical(manifest)}, "RUN")


# ------------------------------------------------------------------------------------------------------ on the disk
def test_only_regular_files_of_fixed_names_are_read(tmp_path: Path) -> None:
    contents = contents_of(SAMPLE)
    for name in PATHS.values():
        run = written(tmp_path / f"missing-{Path(name).name}", contents)
        (run / name).unlink()
        (role,) = (key for key, path in PATHS.items() if path == name)
        if role in OPTIONAL:
            assert role not in read_contents(run)
            continue
        with pytest.raises(InputError, match="cannot be read"):
            read_contents(run)
    for name in PATHS.values():
        run = written(tmp_path / f"link-{Path(name).name}", contents)
        (run / name).rename(tmp_path / f"real-{Path(name).name}")
        (run / name).symlink_to(tmp_path / f"real-{Path(name).name}")
        with pytest.raises(InputError, match=f"{name}: cannot be read"):
            read_contents(run)
        run = written(tmp_path / f"pipe-{Path(name).name}", contents)
        (run / name).unlink()
        os.mkfifo(run / name)
        with pytest.raises(InputError, match=f"{name}: is not a regular file"):
            read_contents(run)
    run = written(tmp_path / "folder", contents)
    (run / "witness").rename(tmp_path / "elsewhere")
    (run / "witness").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="witness: is a link"):
        read_contents(run)
    run = written(tmp_path / "dangling", contents)
    (run / "multipliers.parquet").unlink()
    (run / "multipliers.parquet").symlink_to(tmp_path / "absent")
    with pytest.raises(InputError, match="multipliers"):
        read_contents(run)


def test_other_files_beside_are_not_read(tmp_path: Path) -> None:
    contents = contents_of(SAMPLE)
    run = written(tmp_path / "run", contents)
    (run / "extra.parquet").write_bytes(b"x")
    assert read_contents(run) == contents


def test_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for name in ("absent", "file"):
        with pytest.raises(InputError, match=r"is not a bundle folder; make one with `certifair ingest`"):
            read_contents(tmp_path / name)


# ------------------------------------------------------------------------------------------------- figures of groups
@given(st.fractions(min_value=-(10**15), max_value=10**15, max_denominator=10**25))
def test_thresholds_between_floats(value: Fraction) -> None:
    at_most = largest_float_at_most(value)
    assert Fraction(at_most) <= value < Fraction(math.nextafter(at_most, math.inf))


def test_groups_are_counted_and_added_exactly() -> None:
    rng = np.random.default_rng(2)
    n = 400
    declared = {"g": ("a", "b", "c"), "h": ("x", "y")}
    categories = {name: [str(value) for value in rng.choice(values[:2], n)] for name, values in declared.items()}
    sample = Sample(declared, categories, (rng.normal(size=n) * 10.0 ** rng.integers(-20, 20, n)).tolist())
    evidence = evidence_of(sample)
    for intersectional in (False, True):
        question = Question("demographic_parity", ("g", "h"), declared, intersectional=intersectional)
        people = sample.people()
        found = [group_table(evidence, p) for p in partitions_of(("g", "h"), declared, intersectional=intersectional)]
        cells = [(table["features"], cell) for table in found for cell in table["cells"]]
        for (features, cell), expected in zip(cells, oracle.cells(question), strict=True):
            figures = oracle.figures(question, people, expected)
            assert features == list(expected.features)
            assert cell == {
                "value": list(expected.group),
                "n": figures.n,
                "positives": figures.positives,
                "sum": oracle.rational_text(figures.total),
                "share": oracle.decimal_text(Fraction(figures.n, n), 12, up=False),
            }


# --------------------------------------------------------------------------------------------------- the network
def test_a_network_and_its_preprocessing_belong_together() -> None:
    contents = contents_of(SAMPLE)
    for role, other in (("model", "preprocessing.json"), ("preprocessing", "model.onnx")):
        alone = {name: content for name, content in contents.items() if name != role}
        assert f"stands without {PATHS[role]}" in refused({**alone, "manifest": manifest_of(alone, [])})
        assert other in PATHS.values()


@pytest.mark.parametrize("role", ["model", "preprocessing"])
def test_the_network_is_the_one_that_system_json_speaks_of(role: str) -> None:
    contents = contents_of(SAMPLE)
    assert f"is not the {role} of system.json" in refused(remade(contents, **{role: contents[role] + b" "}))
    system = strict_json(contents["system"])
    for stated in (None, "0" * 64, {"name": "model.onnx"}, {"name": "model.onnx", "sha256": "0" * 64}):
        changed = remade(contents, system=canonical({**system, role: stated}))
        assert f"is not the {role} of system.json" in refused(changed)


def test_a_system_may_name_files_that_stay_with_their_owner() -> None:
    contents = contents_of(SAMPLE)
    without = {role: content for role, content in contents.items() if role not in ("model", "preprocessing")}
    evidence = load({**without, "manifest": manifest_of(without, [])}, "RUN")
    assert evidence.system["model"]["sha256"] == sha256(b"weights")
    assert (evidence.model, evidence.preprocessing, evidence.inputs) == (None, None, None)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("input.x", None, "no column 'input.x'"),
        ("input.x", pa.array([1.0, math.nan, 0.0, 0.0]), "'input.x' is nan in row 2, not a finite number"),
        ("input.x", pa.array([1.0, 0.0, math.inf, 0.0]), "'input.x' is inf in row 3, not a finite number"),
        ("input.x", pa.array([1.0, 0.0, 0.0, None]), "'input.x' is missing in row 4"),
        ("input.x", pa.array(["1", "2", "3", "4"]), "'input.x' holds string, but is a number"),
        ("input.job", pa.array([1.0, 2.0, 3.0, 4.0]), "'input.job' holds double, but is a category"),
        ("input.job", pa.array(["x", None, "y", "z"]), "'input.job' is missing in row 2"),
        ("input.job", pa.array(["x", "z", "", "z"]), "'input.job' is missing in row 3"),
    ],
)
def test_inputs_that_are_none(column: str, value: Any, words: str) -> None:
    evidence = load(replaced("data", column, value), "RUN")
    with pytest.raises(InputError) as caught:
        _ = evidence.inputs
    assert str(caught.value).startswith("data.parquet: ")
    assert words in str(caught.value)


def test_inputs_of_other_types_are_refused_at_once() -> None:
    assert "holds int64 in 'input.x'" in refused(replaced("data", "input.x", pa.array([1, 2, 3, 4])))


def test_text_ids_name_people() -> None:
    ids = pa.array(["a", "b", "c", "Zoe\u0301"])
    tables = {}
    for role in ("data", "predictions"):
        table = table_of(contents_of(SAMPLE), role)
        tables[role] = table_bytes(table.set_column(0, "row_id", ids))
    assert load(remade(contents_of(SAMPLE), **tables), "RUN").row_id(3) == "Zoe\u0301"


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array(["x", "y", "x", "z"]), "'input.h' differs from 'feature.h' in row 4"),
        (pa.array(["x", "", "x", "y"]), "'input.h' differs from 'feature.h' in row 2"),
        (pa.array([1.0, 2.0, 1.0, 2.0]), "'input.h' differs from 'feature.h' in row 1"),
    ],
)
def test_a_column_cannot_say_one_thing_to_the_network_and_another_of_the_groups(column: Any, message: str) -> None:
    assert message in refused(replaced("data", "input.h", column))


def test_a_label_or_id_given_to_the_network_is_the_label_and_no_id() -> None:
    table = table_of(contents_of(SAMPLE), "data")
    labels = pa.chunked_array([table["label"].combine_chunks()])
    for name, column, words in (
        ("input.label", pa.array([1.0, 0.0, 0.0, 1.0]), "'input.label' differs from the label in row 1"),
        ("input.label", labels, None),
    ):
        changed = table_bytes(table.append_column(name, column))
        contents = remade(contents_of(SAMPLE), data=changed)
        if words is None:
            load(contents, "RUN")
        else:
            assert words in refused(contents)


def test_a_layer_that_needs_labels_needs_them_even_if_no_property_does() -> None:
    asked = SAMPLE.layer.replace("demographic_parity", "equalized_odds")
    sample = dataclasses.replace(SAMPLE, layer=asked, properties=[], labels=[0.5, 1.0, 1.0, 0.0])
    assert "equalized_odds needs 0 or 1" in refused(contents_of(sample))
