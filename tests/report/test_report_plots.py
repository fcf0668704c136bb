from __future__ import annotations

import re
import struct
import subprocess
import sys

import numpy as np
import pytest

from certifair.errors import InputError
from certifair.report.plots import plot_groups, plot_history, plot_stream, plot_tradeoff

HISTORY = [
    {"epoch": 1, "train_loss": 0.7, "validation_loss": 0.72, "train_gap": 0.2, "note": "x"},
    {"epoch": 2, "train_loss": 0.6, "validation_loss": None, "train_gap": 0.05, "note": "y"},
]
DRAW = np.random.default_rng(5)
GROUPS = np.array(["f", "m"])[DRAW.integers(0, 2, 300)]
ENDS = np.arange(4, 301, 4)
SCORES = DRAW.normal(0.4, 0.1, 300) + 0.2 * (GROUPS == "m")


def shown(svg: bytes) -> str:
    """The words of a picture: matplotlib writes each text in a comment beside its outlines."""
    return " | ".join(re.findall(r"<!-- (.*?) -->", svg.decode()))


def test_pictures_are_pngs_of_a_reasonable_size_and_the_same_each_time() -> None:
    for picture in (
        lambda: plot_history(HISTORY, 0.02),
        lambda: plot_groups(SCORES, SCORES * 0.5, GROUPS),
        lambda: plot_tradeoff({"flayer": [(0.1, 0.8), (0.01, 0.75)]}),
        lambda: plot_stream(SCORES, SCORES * 0.5, [GROUPS], ENDS, 0.02),
    ):
        content = picture()
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", content[16:24])
        assert 600 <= width <= 2000
        assert 300 <= height <= 2000
        assert content == picture()


def test_history_shows_losses_gaps_and_the_tolerance() -> None:
    words = shown(plot_history(HISTORY, 0.02, "svg"))
    for word in ("train loss", "validation loss", "train gap", "ε = 0.02", "epoch"):
        assert word in words
    assert "note" not in words
    assert "train gap" in shown(plot_history([{"train_gap": 0.1}], None, "svg"))


def test_groups_show_each_mean_before_and_after() -> None:
    words = shown(plot_groups(SCORES, np.full(300, 0.5), GROUPS, "svg"))
    for name in ("f", "m"):
        mine = SCORES[name == GROUPS]
        assert f"{name}: mean {mine.mean():.4f} ({len(mine)})" in words
        assert f"{name}: mean 0.5000 ({len(mine)})" in words


def test_many_groups_get_different_looks() -> None:
    names = np.repeat([f"g{k:02d}" for k in range(12)], 5)
    assert all(f"g{k:02d}: mean" in shown(plot_groups(range(60), range(60), names, "svg")) for k in range(12))


def test_tradeoff_sorts_its_points() -> None:
    words = shown(plot_tradeoff({"a": [(0.1, 1.0), (0.01, 0.5)], "b": [(0.05, 0.7)]}, "AUC", "svg"))
    assert "AUC" in words
    assert "tolerance ε" in words


def test_a_stream_ends_with_the_largest_difference_of_two_groups() -> None:
    """Three groups, one of which comes late, and a person in none."""
    groups = np.array(["a", "b", "", "a", "b", "c"])
    scores = np.array([0.1, 0.4, 9.0, 0.3, 0.4, 0.9])
    words = shown(plot_stream(scores, scores / 2, [groups], np.array([1, 3, 6]), 0.05, "svg"))
    assert "scores: at the end 0.7000" in words  # c: 0.9, a: 0.2
    assert "served: at the end 0.3500" in words
    assert "ε = 0.05" in words
    two = shown(plot_stream(scores, scores, [np.array(["x"] * 6), groups], np.array([6]), None, "svg"))
    assert "served: at the end 0.7000" in two
    with pytest.raises(InputError):
        plot_stream(scores, scores[:3], [groups], np.array([6]))


def test_nothing_to_draw_is_an_error() -> None:
    for call in (lambda: plot_history([]), lambda: plot_tradeoff({"a": []}), lambda: plot_groups([1], [1, 2], ["a"])):
        with pytest.raises(InputError):
            call()


def test_without_matplotlib_one_line_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['matplotlib'] = None; sys.modules['matplotlib.figure'] = None\n"
        "from certifair.report.plots import plot_tradeoff\n"
        "from certifair.errors import InputError\n"
        "try: plot_tradeoff({'a': [(1, 1)]})\n"
        "except InputError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "certifair[report]" in done.stdout, done.stderr
