from __future__ import annotations

import base64
import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from certifair.compare import outputs
from certifair.compare.outputs.base import best
from certifair.compare.outputs.png import file_names
from certifair.compare.table import Table
from certifair.spec.printable import printable
from tests.compare.tables import FAILED, HOSTILE, ONLY_PERSON, SHOWN_LEAST

SHOWN = printable(HOSTILE)


class Page(HTMLParser):
    """Start tags with their attributes, the text of every cell and header, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self.summaries: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in {"meta", "link", "img", "wbr"}:
            return
        self.open.append(tag)
        if tag in {"td", "th"}:
            self.cells.append("")
        if tag == "summary":
            self.summaries.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, "elements are nested"

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.cells[-1] += data
        if "summary" in self.open:
            self.summaries[-1] += data
        if not {"script", "style"} & set(self.open):
            self.text += data

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def page(table: Table, folder: Path) -> Page:
    assert table.cells
    found_page = Page((folder / "index.html").read_text(encoding="utf-8"))
    assert found_page.open == []
    return found_page


def test_the_page_has_every_cell_and_none_is_blank(page: Page, table: Table) -> None:
    assert all(cell.strip() for cell in page.cells)
    shown = iter(page.summaries)
    for data in table.sets:
        for method in table.methods:
            for item in table.properties:
                cell, text = table.cell(data, method, item.name), next(shown)
                assert cell.text in text
                assert text.startswith("★ best: ") == (method in best(table, data, item))
                assert ("†" in text) == bool(cell.reason and cell.n)
        assert next(shown).endswith(": 39")


def test_the_page_sorts_by_ranks_only(page: Page, table: Table) -> None:
    orders = [attrs["data-order"] for attrs in page.attributes("td") if "data-order" in attrs]
    cells = [table.cell(d, m, p.name) for d in table.sets for m in table.methods for p in table.properties]
    assert [float(order) if order else None for order in orders] == [cell.rank for cell in cells]
    better = [attrs["data-better"] for attrs in page.attributes("th") if "data-better" in attrs]
    assert better == [item.better for item in table.properties] * len(table.sets)


def test_every_link_of_the_page_is_relative_and_leads_to_evidence_or_a_heading(
    page: Page, folder: Path, table: Table
) -> None:
    targets = [attrs["href"] or "" for attrs in page.attributes("a")]
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    inside = [target for target in targets if target.startswith("#")]
    assert {target[1:] for target in inside} <= ids
    runs = [target for target in targets if not target.startswith("#")]
    assert len(runs) == 2 * 39 * (12 + 1) + 12 * 2 * sum(run.status == "done" for run in table.runs)
    for target in set(runs):
        parts = urlsplit(target)
        assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("", "", "", "")
        path = folder / unquote(parts.path)
        assert path.is_file() if path.name == "claims.json" else path.is_dir()
        assert path.name in {"claims.json", "bundle"} or (path / "run.json").is_file()


def test_the_page_fetches_nothing_and_runs_one_script(page: Page, folder: Path) -> None:
    text = (folder / "index.html").read_text(encoding="utf-8")
    for tag, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on")]
        assert tag not in {"iframe", "object", "embed", "base", "form"}
        sources = [attrs.get("src"), attrs.get("href") if tag == "link" else None]
        assert all(source.startswith("data:") for source in sources if source)
    assert len(page.attributes("script")) == 1
    assert "url(" not in text
    assert "@import" not in text
    policy = next(attrs["content"] or "" for attrs in page.attributes("meta") if "http-equiv" in attrs)
    assert policy.startswith("default-src 'none';")


def test_the_page_shows_hostile_words_and_computes_none(page: Page) -> None:
    assert SHOWN in page.text
    assert FAILED["strict_penalty"][1] in page.text
    assert printable(FAILED["fairness_training"][1]) in page.text
    assert not page.attributes("b") or all(set(attrs) <= {"class"} for attrs in page.attributes("b"))


def test_the_page_embeds_the_pictures(page: Page, folder: Path, table: Table) -> None:
    images = page.attributes("img")
    assert len(images) == len(table.sets)
    for attrs, name in zip(images, file_names(table).values(), strict=True):
        assert attrs["alt"]
        content = base64.b64decode((attrs["src"] or "").removeprefix("data:image/png;base64,"))
        assert content == (folder / name).read_bytes()


def test_the_page_can_be_read_aloud(page: Page) -> None:
    assert page.attributes("html") == [{"lang": "en"}]
    assert all(attrs["scope"] in {"row", "col"} for attrs in page.attributes("th"))
    assert len(page.attributes("caption")) == len(page.attributes("table"))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in page.tags:
        assert attrs.get("aria-labelledby", ids[0]) in ids


def test_what_is_behind_a_cell_is_told(page: Page) -> None:
    text = " ".join(page.text.split())
    assert "0.19, proven: 0.189999 to 0.190001 claim batch_gap-1: PASS, bundle" in text
    assert "0.19, with 95% confidence: 0.17 to 0.22 claim population_gap-1: UNDECIDED, bundle" in text
    assert "no figure claim flip_rows-1: UNDECIDED, bundle" in text
    assert "no figure: time limit" in text
    assert "certifair certify RUN/bundle --key key.pem --out" in text
    titles = {attrs["title"] or "" for attrs in page.attributes("summary") if "title" in attrs}
    part = "from 1 of 3 runs only: those left out might have been better or worse"
    assert {
        ONLY_PERSON,
        f"proven: 0.0274; {part}; seeds 1, 2: time limit: {FAILED['prof'][1]}",
        "with 95% confidence for each run: 0.17 to 0.22",
        f"measured for each run: at least 0.0211; measured, no claim; {SHOWN_LEAST}",
    } <= {re.sub(r"0\.0211\d+", "0.0211", title) for title in titles}
    coupled = [cell for cell in page.cells if cell.strip().startswith("undecided")]
    assert len(coupled) == 2 * 3 * 3
    assert all(ONLY_PERSON in cell for cell in coupled)


def test_nothing_measured_is_called_proven(page: Page, table: Table) -> None:
    cells = iter(page.cells[13:])
    for method in table.methods:
        next(cells)
        for item in table.properties:
            text, cell = next(cells), table.cell("adult", method, item.name)
            assert ("proven" in text) == (cell.basis == "proven" and cell.n > 0)
            assert ("with 95% confidence" in text) == (cell.basis == "confidence" and cell.n > 0)


def test_a_part_of_a_picture_that_is_missing_is_a_sentence(table: Table, tmp_path: Path) -> None:
    left = [item for item in table.properties if item.name == "auc"]
    outputs.get("html").write(dataclasses.replace(table, properties=left), tmp_path)
    small = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert small.attributes("img") == []
    assert small.text.count("was not asked for") == 3 * len(table.sets)
