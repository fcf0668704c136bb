from __future__ import annotations

import csv
import dataclasses
import html
import math
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from certifair.compare import outputs
from certifair.compare.outputs.base import BASES, best, ends, heading, meaning
from certifair.compare.properties import PROPERTIES
from certifair.compare.table import Property, Table
from certifair.errors import InputError
from certifair.spec.printable import UNPRINTABLE, printable
from tests.compare.tables import HOSTILE, METHODS, ONLY_PERSON, build, empty

SHOWN = printable(HOSTILE)


def records(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def tables_of(markdown: str) -> list[list[list[str]]]:
    """Each table's rows of cells, as a renderer splits them: at every pipe that no backslash escapes."""
    blocks = [block.splitlines() for block in markdown.split("\n\n") if block.startswith("| ")]
    return [[[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in block] for block in blocks]


# --- every output


def test_the_four_outputs_are_found() -> None:
    assert set(outputs.names()) >= {"csv", "markdown", "png", "html"}
    assert all(outputs.get(name).name == name for name in outputs.names())
    with pytest.raises(KeyError):
        outputs.get("pdf")


@pytest.mark.parametrize("name", outputs.names())
def test_every_output_writes_what_it_says_and_the_same_each_time(name: str, small: Table, tmp_path: Path) -> None:
    written = outputs.get(name).write(small, tmp_path)
    assert sorted(written) == sorted(tmp_path.iterdir())
    first = [path.read_bytes() for path in written]
    assert all(first)
    assert outputs.get(name).write(small, tmp_path) == written
    assert [path.read_bytes() for path in written] == first
    assert sorted(written) == sorted(tmp_path.iterdir())


@pytest.mark.parametrize("name", outputs.names())
def test_every_output_tells_a_table_in_which_nothing_was_found(name: str, tmp_path: Path) -> None:
    made = empty()
    written = outputs.get(name).write(made, tmp_path)
    texts = [path.read_text(encoding="utf-8") for path in written if path.suffix != ".png"]
    assert all(path.suffix != ".png" for path in written)
    if texts and name != "csv":
        assert "failed" in texts[0]


@pytest.mark.parametrize("name", [name for name in outputs.names() if name != "png"])
def test_no_control_or_direction_mark_gets_through(name: str, small: Table, tmp_path: Path) -> None:
    for path in outputs.get(name).write(small, tmp_path):
        assert not set(UNPRINTABLE.findall(path.read_text(encoding="utf-8"))) - {"\n"}


def test_importing_the_outputs_imports_neither_matplotlib_nor_jinja_nor_torch() -> None:
    code = "import sys, certifair.compare.outputs as o; o.names(); "
    code += "print({'matplotlib', 'jinja2', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(("package", "name"), [("jinja2", "html"), ("matplotlib.figure", "png")])
def test_an_absent_package_is_an_error_with_advice(
    package: str, name: str, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match="need") as error:
        outputs.get(name).write(table, tmp_path)
    assert "certifair[report]" in error.value.advice
    assert list(tmp_path.iterdir()) == []


# --- what is best


def test_best_goes_by_direction_and_shown_digits_and_leaves_out_what_has_no_figure() -> None:
    made = empty(("a", "b", "c", "d"), (Property("p", "p", "higher", "measured", "", digits=2),))
    ranks = (0.801, 0.799, 0.7, math.inf)
    cells = [dataclasses.replace(cell, rank=rank, n=1) for cell, rank in zip(made.cells, ranks, strict=True)]
    made = dataclasses.replace(made, cells=cells)
    item = made.properties[0]
    assert best(made, "adult", item) == {"a", "b"}
    assert best(made, "adult", dataclasses.replace(item, better="lower")) == {"c"}
    assert best(made, "adult", dataclasses.replace(item, better="")) == set()
    partial = dataclasses.replace(cells[0], runs=("1", "2"))
    assert best(dataclasses.replace(made, cells=[partial, *cells[1:]]), "adult", item) == {"b"}
    nothing = dataclasses.replace(made, cells=[dataclasses.replace(cell, rank=None) for cell in cells])
    assert best(nothing, "adult", item) == set()


def test_what_is_undecided_is_to_nobodys_credit(table: Table) -> None:
    item = next(item for item in PROPERTIES if item.name == "flip_domain")
    assert best(table, "adult", item) == {"zeroing", "finite"}
    item = next(item for item in PROPERTIES if item.name == "treatment")
    least = table.cell("adult", "threshold_optimizer", "treatment")
    assert (least.rank, least.basis) == (None, "measured")


# --- words


def test_ends_say_what_they_rest_on() -> None:
    assert ends("proven", "0.1", "0.2") == "proven: 0.1 to 0.2"
    assert ends("proven", "0.1", "0.1", runs=3) == "proven for each run: 0.1"
    assert ends("proven", None, "0.2") == "proven: at most 0.2"
    assert ends("confidence", 0.1, 0.2) == "with 95% confidence: 0.1 to 0.2"
    assert ends("confidence", 0.1, 0.2, runs=3) == "with 95% confidence for each run: 0.1 to 0.2"
    assert ends("measured", "0.1", None) == "measured: at least 0.1"
    assert all(ends(basis, None, None) == "" for basis in BASES)


def test_every_column_is_told_by_sentences_and_only_claims_are_called_so() -> None:
    for item in PROPERTIES:
        text = meaning(item)
        assert len(item.meaning) > 40
        assert item.meaning.endswith(".")
        assert text.startswith(item.meaning)
        assert ("A claim" in text) == (item.basis != "measured")
        assert ("for sure" in text) == (item.basis == "proven")
        assert ("95% confidence" in text) == ("95% confidence" in heading(item)) == (item.basis == "confidence")
    assert len({item.name for item in PROPERTIES}) == len({heading(item) for item in PROPERTIES}) == len(PROPERTIES)


# --- CSV


def test_csv_has_a_line_for_every_run_and_property(table: Table, folder: Path) -> None:
    rows = records(folder / "comparison.csv")
    keys = Counter((row["data"], row["method"], row["seed"], row["property"]) for row in rows)
    wanted = {
        (printable(run.data), printable(run.method), str(run.seed), item.name)
        for run in table.runs
        for item in table.properties
    }
    assert set(keys) == wanted
    assert set(keys.values()) == {1}
    for row in rows:
        run = next(
            r for r in table.runs if (printable(r.data), printable(r.method), str(r.seed)) == tuple(row.values())[:3]
        )
        figure = run.figure(row["property"])
        assert (folder / row["folder"] / "run.json").is_file()
        assert row["status"] == run.status
        assert float(row["seconds"]) == run.seconds
        assert math.isnan(float(row["value"])) if figure.value is None else float(row["value"]) == figure.value
        assert row["lower"] == (figure.lower or "nan")
        assert (row["basis"] == "none") == (figure.value is None)
        assert figure.value is not None or (row["reason"] and row["verdict"])


def test_csv_has_a_line_for_every_cell_and_none_is_blank_or_zero_without_a_figure(table: Table, folder: Path) -> None:
    rows = records(folder / "cells.csv")
    assert len(rows) == len(table.cells)
    for row, cell in zip(rows, table.cells, strict=True):
        assert row["text"] == cell.text != ""
        assert math.isnan(float(row["mean"])) if cell.mean is None else float(row["mean"]) == cell.mean
        assert all(row[name] for name in ("data", "method", "property", "n", "mean", "half", "lower", "upper"))
        assert row["runs"].split("; ") == list(cell.runs)
        assert row["basis"] == (cell.basis if cell.n else "none")
        assert row["reason"] == printable(cell.reason)


def test_csv_is_no_spreadsheet_formula_and_one_line_a_record(tmp_path: Path) -> None:
    made = build(tmp_path, ("=HYPERLINK(1)", "-1+cmd|' /C calc'!A0", "-0.01 ± 0.02"), seeds=1)
    outputs.get("csv").write(made, tmp_path)
    rows = records(tmp_path / "cells.csv")
    assert {row["data"] for row in rows} == {"'=HYPERLINK(1)", "'-1+cmd|' /C calc'!A0", "-0.01 ± 0.02"}
    for name, count in (("cells.csv", len(made.cells)), ("comparison.csv", len(made.runs) * len(PROPERTIES))):
        assert len((tmp_path / name).read_text(encoding="utf-8").splitlines()) == count + 1


# --- Markdown


def test_markdown_has_a_full_table_for_every_set(table: Table, folder: Path) -> None:
    text = (folder / "comparison.md").read_text(encoding="utf-8")
    found_tables = tables_of(text)
    assert len(found_tables) == len(table.sets)
    for rows in found_tables:
        assert {len(row) for row in rows} == {1 + len(PROPERTIES)}
        assert len(rows) == 2 + len(METHODS)
        assert all(all(row) for row in rows)
        assert rows[0][0] == "method"
        assert rows[0][-1] == "serving (s)"
    (head, _, *body), _ = found_tables
    plain = dict(zip(head, body[METHODS.index("flayer")], strict=True))
    assert re.fullmatch(r"undecided\[\^\d+\]", plain["unfair rows"])


def test_markdown_bolds_the_best_of_each_column_and_nothing_without_a_figure(table: Table, folder: Path) -> None:
    rows = tables_of((folder / "comparison.md").read_text(encoding="utf-8"))[0][2:]
    for column, item in enumerate(table.properties, 1):
        bold = {method for method, row in zip(METHODS, rows, strict=True) if row[column].startswith("**")}
        assert bold == best(table, "adult", item)
        assert bold
        assert not bold & {"strict_penalty", "fairness_training"}


def test_markdown_has_each_reason_once_and_every_note_is_used(folder: Path, table: Table) -> None:
    text = (folder / "comparison.md").read_text(encoding="utf-8")
    notes = dict(re.findall(r"^\[\^(\d+)\]: (.+)$", text, re.MULTILINE))
    assert len(set(notes.values())) == len(notes) == len({cell.reason for cell in table.cells if cell.reason})
    assert set(re.findall(r"\[\^(\d+)\](?!:)", text)) == set(notes)
    assert ONLY_PERSON in notes.values()
    for rows in tables_of(text):
        for row in rows[2:]:
            assert all(
                re.search(r"\[\^\d+\]$", cell) for cell in row if not re.search(r"\d\.\d", cell) and cell != row[0]
            )


def test_a_cell_without_figure_and_reason_has_a_note_too(tmp_path: Path) -> None:
    outputs.get("markdown").write(empty(), tmp_path)
    text = (tmp_path / "comparison.md").read_text(encoding="utf-8")
    assert tables_of(text)[0][2] == ["plain", "failed[^1]", "failed[^1]"]
    assert "[^1]: failed" in text


def test_markdown_shows_hostile_names_and_obeys_none(folder: Path, table: Table) -> None:
    assert table.cells
    text = (folder / "comparison.md").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "://" not in text
    assert "`x`" in text  # the command, in a block of code
    (name,) = {rows[-1][0] for rows in tables_of(text)}
    assert html.unescape(re.sub(r"\\([*_`~\[\]])", r"\1", name)) == SHOWN
    assert not re.search(r"(?<!\\)[*_`~$|]|(?<!\\)\]\(", name)


def test_markdown_tells_how_it_was_made(folder: Path, table: Table) -> None:
    text = (folder / "comparison.md").read_text(encoding="utf-8")
    assert f"\n    {table.about['command']}\n" in text
    assert "- machine: 2 cores &#124; x" in text
    assert "- finite is solved with: PuLP, HiGHS 1.8" in text
    assert "highspy 1.8.1, torch 2.13.0" in text
    for item in PROPERTIES:
        name = item.name.replace("_", r"\_")
        line = next(line for line in text.splitlines() if f"({name}):" in line)
        assert BASES[item.basis] in line
        assert line.endswith(f"{item.better.capitalize()} is better.")
    assert "\n    certifair certify RUN/bundle --key key.pem --out X.certificate.json\n" in text
