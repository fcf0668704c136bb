from __future__ import annotations

import dataclasses
import math
import re
import struct
from pathlib import Path

import pytest

from certifair.compare.outputs.png import _shares, file_names, picture
from certifair.compare.table import Table
from certifair.errors import InputError
from certifair.report.comparison_plots import Shares, Spot, plot_comparison
from tests.compare.tables import empty

PNG = b"\x89PNG\r\n\x1a\n"


def test_pictures_are_one_a_set_of_a_readable_size(folder: Path, table: Table) -> None:
    names = file_names(table)
    assert names["adult"] == "comparison-adult.png"
    assert len({name.casefold() for name in names.values()}) == len(table.sets)
    for name in names.values():
        assert re.fullmatch(r"comparison-[A-Za-z0-9_-]+\.png", name)
        content = (folder / name).read_bytes()
        assert content.startswith(PNG)
        width, height = struct.unpack(">II", content[16:24])
        assert width == 1200
        assert 800 <= height <= 1600


def test_sets_whose_names_differ_in_signs_or_case_only_have_pictures_of_their_own() -> None:
    made = dataclasses.replace(empty(), sets=("a/b", "a b", "A_B", "../..", "x" * 300, "ε"))
    names = file_names(made)
    assert len({name.casefold() for name in names.values()}) == 6
    assert all(Path(name).name == name and len(name) < 120 for name in names.values())


@pytest.mark.parametrize(
    ("absent", "drawn", "sentences"),
    [
        ({"accuracy"}, True, ["accuracy was not asked for"]),
        ({"flip_rows"}, True, ["No bars of flip_rows are drawn: it was not asked for"]),
        ({"accuracy", "pooled_gap", "flip_rows", "flip_domain"}, False, ["accuracy", "flip_rows", "flip_domain"]),
    ],
)
def test_a_picture_leaves_out_what_was_not_asked_for(
    absent: set[str], drawn: bool, sentences: list[str], table: Table
) -> None:
    left = [item for item in table.properties if item.name not in absent]
    content, missing = picture(dataclasses.replace(table, properties=left), "adult")
    assert (content is not None) == drawn
    assert len(missing) == len(sentences)
    assert all(any(sentence in found for found in missing) for sentence in sentences)


def test_shares_are_means_over_the_runs_with_both_ends_and_add_up(table: Table) -> None:
    shares = _shares(table, table.cell("adult", "plain", "flip_domain"))
    assert shares.falsified == pytest.approx(0.0274 + 0.002)
    assert shares.certified == pytest.approx(1 - 0.0274 - 0.002 - 0.08)
    one = _shares(table, table.cell("adult", "prof", "flip_rows"))
    assert (one.falsified, one.certified) == pytest.approx((0.0274, 1 - 0.0274))
    assert one.name == "prof (1 of 3 runs)"
    assert _shares(table, table.cell("adult", "flayer", "flip_rows")) == Shares("flayer", None, None, "undecided")


def test_a_picture_of_nothing_is_refused_and_of_little_is_not() -> None:
    with pytest.raises(InputError, match="nothing to draw"):
        plot_comparison("x", ("a", "b"), [], {})
    spots = [Spot("a", 0.0, 0.5), Spot("b", None, 0.5, text="infeasible"), Spot("c", math.inf, 0.1, text="∞")]
    for part in (spots, spots[1:], spots[:1]):
        assert plot_comparison("x", ("a", "b"), part, {}).startswith(PNG)
    assert plot_comparison("x", ("a", "b"), [], {"s": [Shares("a", 0.0, 1.0)]}).startswith(PNG)


def test_names_that_the_font_lacks_or_that_look_like_formulas_are_drawn() -> None:
    names = ["$x^{$", r"\$x$", "漢字", "a\nb", "$", "x" * 500]
    spots = [Spot(name, 0.1 * k, 0.5) for k, name in enumerate(names)]
    shares = {"$$": [Shares(name, None, None, "$\\frac$") for name in names]}
    assert plot_comparison("$\\sum$", ("$_$", "^"), spots, shares).startswith(PNG)


def test_names_beside_the_plane_have_room_and_stay_in_order() -> None:
    import numpy as np

    from certifair.report.comparison_plots import _spread

    for seed in range(20):
        draw = np.random.default_rng(seed)
        wanted = draw.choice([0.0, 0.5, 1.0, draw.random()], int(draw.integers(1, 40)))
        heights = _spread(wanted)
        assert heights.min() >= -1e-12
        assert heights.max() <= 1 + 1e-12
        falling = heights[np.argsort(-wanted, kind="stable")]
        assert (np.diff(falling) <= -min(0.062, 1 / max(1, len(wanted) - 1)) + 1e-9).all()
    assert np.allclose(_spread(np.array([0.2, 0.9, 0.5])), [0.2, 0.9, 0.5])
