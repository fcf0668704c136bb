"""A SET.toml that cannot be compared is one line that names its file, before anything is made."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from certifair.compare.policy import PART
from certifair.compare.sets import load_set
from certifair.errors import InputError
from certifair.evidence.onnx_writer import write_network
from certifair.spec.network import Affine, Network
from tests.compare.method_cases import people_set

HAND = '\n[[feature]]\nname = "hand"\nkind = "one_hot"\nvalues = ["x", "y", "z"]\n'
"""Nobody in the rows is a z."""
Rows = list[dict[str, Any]]


def changed(folder: Path, *edits: tuple[str, str], rows: Callable[[Rows], Rows] | None = None) -> Path:
    """people_set's file after edits (old, new) of its text, and of its rows."""
    path = people_set(folder).where
    text = path.read_text(encoding="utf-8")
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text, encoding="utf-8")
    if rows is not None:
        table = folder / "people.csv"
        with table.open(newline="", encoding="utf-8") as file:
            found = rows(list(csv.DictReader(file)))
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(found[0]))
            writer.writeheader()
            writer.writerows(found)
    return path


def with_value(column: str, value: str, *, row: int | None = None) -> Callable[[Rows], Rows]:
    """In one row, counted from 1, or in all."""
    return lambda rows: [{**old, column: value} if row in (None, k) else old for k, old in enumerate(rows, 1)]


def renamed(old: str, new: str) -> Callable[[Rows], Rows]:
    return lambda rows: [{new if name == old else name: value for name, value in row.items()} for row in rows]


def few(rows: Rows) -> Rows:
    """Three people of each of two strata, without a split."""
    kept = [next(row for row in rows if (row["sex"], row["good"]) == pair) for pair in (("0", "0"), ("1", "1"))]
    return [{name: value for name, value in row.items() if name != "split"} for row in kept * 3]


GROUPS = 'groups = ["sex"]'


@pytest.mark.parametrize(
    ("edits", "rows", "named", "said"),
    [
        ([], with_value("a", "", row=3), "people.csv", "'a' is missing in row 3"),
        (
            [(GROUPS, 'groups = ["region"]')],
            with_value("region", "", row=3),
            "people.csv",
            "'region' is missing in row 3",
        ),
        ([], with_value("split", "", row=3), "people.csv", "'split' is missing in row 3"),
        ([], with_value("split", "train"), "people.csv", "'split' says 'test' of no row"),
        ([], with_value("split", "test"), "people.csv", "'split' says 'train' of no row"),
        ([], few, "people.csv", "too few rows"),
        (
            [("[[feature]]", HAND + "[[feature]]")],
            with_value("hand", "w", row=3),
            "people.csv",
            "'hand' is 'w' in row 3",
        ),
        (
            [("[[feature]]", HAND + "[[feature]]")],
            with_value("hand", "", row=3),
            "people.csv",
            "'hand' is missing in row 3",
        ),
        ([(GROUPS, 'split = "sex"')], None, "people.toml", "also a feature: 'sex'"),
        ([(GROUPS, 'split = "good"')], None, "people.toml", "also the label: 'good'"),
        ([(GROUPS, 'groups = ["side"]\nsplit = "side"')], None, "people.toml", "also among the groups: 'side'"),
        ([('label = "good"', 'label = "a"')], None, "people.toml", "the label is also a feature: 'a'"),
        ([(GROUPS, 'groups = ["good"]')], None, "people.toml", "the label is also among the groups: 'good'"),
        ([(GROUPS, 'groups = ["score"]')], renamed("side", "score"), "people.toml", "column 'score', which runs write"),
        ([(GROUPS, f'split = "{PART}"')], renamed("split", PART), "people.toml", f"column '{PART}', which runs write"),
        ([('name = "a"', f'name = "{PART}"')], renamed("a", PART), "people.toml", f"column '{PART}', which runs write"),
        ([('"people"', f'"{"n" * 101}"')], None, "people.toml", "a name of 101 characters"),
        ([('"people"', f'"{"語" * 70}"')], None, "people.toml", "210 bytes"),
        ([("[compare]", "[compare]\nheld_out = true")], None, "people.toml", "held_out speaks of a model"),
        ([('sensitive = ["sex"]', 'sensitive = ["b"]'), (GROUPS, "")], None, "people.toml", "has no groups to compare"),
    ],
)
def test_what_is_wrong_is_one_line_in_the_sets_words(
    tmp_path: Path, edits: list[tuple[str, str]], rows: Callable[[Rows], Rows] | None, named: str, said: str
) -> None:
    path = changed(tmp_path, *edits, rows=rows)
    with pytest.raises(InputError) as error:
        load_set(path)
    text = str(error.value)
    assert text.startswith(str(tmp_path / named))
    assert said in text
    assert "\n" not in text
    assert "[data]" not in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (write_network(Network(2, (Affine(0, np.ones((1, 2)), np.zeros(1)),), 1)), "takes 2 inputs"),
        (write_network(Network(3, (Affine(0, np.ones((2, 3)), np.zeros(2)),), 1)), "gives 2 outputs"),
        (b"nothing that ONNX knows", ""),
    ],
)
def test_a_model_that_cannot_serve_these_people_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "own.onnx").write_bytes(content)
    path = changed(tmp_path, ("[compare]", '[compare]\nmodel = "own.onnx"'))
    with pytest.raises(InputError) as error:
        load_set(path)
    assert str(error.value).startswith(str(tmp_path / "own.onnx"))
    assert said in str(error.value)


def test_what_the_owner_says_of_the_model_is_read(tmp_path: Path) -> None:
    (tmp_path / "own.onnx").write_bytes(write_network(Network(3, (Affine(0, np.ones((1, 3)), np.zeros(1)),), 1)))
    path = changed(tmp_path, ("[compare]", '[compare]\nmodel = "own.onnx"'))
    assert not load_set(path).held_out
    path.write_text(
        path.read_text(encoding="utf-8").replace("[compare]", "[compare]\nheld_out = true"), encoding="utf-8"
    )
    assert load_set(path).held_out


def test_odd_rows_that_can_be_compared_are_taken(tmp_path: Path) -> None:
    """Columns that nobody names, values that no row has, the longest name."""
    edits = (("[[feature]]", HAND + "[[feature]]"), ('"people"', f'"{"n" * 100}"'))
    data = load_set(changed(tmp_path, *edits, rows=renamed("side", PART)))
    assert data.inputs == ("hand", "a", "b", "sex")
    assert data.split == "split"


def test_an_input_may_be_called_a_score(tmp_path: Path) -> None:
    edits = (('name = "a"', 'name = "score"'), ('groups = ["sex"]\n', ""))
    assert load_set(changed(tmp_path, *edits, rows=renamed("a", "score"))).inputs == ("score", "b", "sex")
