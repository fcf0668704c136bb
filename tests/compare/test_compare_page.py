"""The page in a real browser: it sorts, complains of nothing, and fits a narrow screen."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from certifair.compare import outputs
from tests.compare.tables import METHODS, build

# In the page that holds the page in a frame of some width: what was asked of it, and the answers as JSON.
HARNESS = """<!doctype html><html><body><pre id="answers"></pre><script>
function ask() {
  const page = document.querySelector("iframe").contentDocument;
  const table = page.querySelector("table.sortable");
  const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
  const titles = () => [...table.tHead.rows[0].cells].map((cell) => cell.getAttribute("aria-sort"));
  const buttons = table.querySelectorAll("thead button");
  const click = (column) => { buttons[column].click(); return [names(), titles()[column]]; };
  const answers = {
    before: names(), accuracy: click(1), again: click(1), gap: click(4), name: click(0), sorted: titles(),
    fetched: page.defaultView.performance.getEntriesByType("resource").map((entry) => entry.name),
    page: [page.documentElement.scrollWidth, page.documentElement.clientWidth],
    table: [table.parentElement.scrollWidth, table.parentElement.clientWidth],
    image: page.querySelector("img").naturalWidth,
  };
  for (const details of page.querySelectorAll("details")) details.open = true;
  answers.open = [page.documentElement.scrollWidth, page.documentElement.clientWidth];
  document.querySelector("#answers").textContent = JSON.stringify(answers);
}
</script><iframe onload="ask()" width="WIDTH" height="800" srcdoc="PAGE"></iframe></body></html>
"""

Browse = Callable[[str], tuple[str, list[str]]]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    (path,) = outputs.get("html").write(build(folder), folder)
    return path.read_text(encoding="utf-8")


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """A page -> what it became after its scripts ran, and what the browser's console said."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is absent: the page is not looked at in a real browser")

    def visit(text: str) -> tuple[str, list[str]]:
        path = tmp_path / "visited.html"
        path.write_text(text, encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"]
        options += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--dump-dom"]
        done = subprocess.run(
            [browser, *options, path.as_uri()], capture_output=True, text=True, timeout=120, check=True
        )
        return done.stdout, re.findall(r".*CONSOLE.*", done.stderr)

    return visit


def answers(browse: Browse, page: str, width: int) -> dict[str, Any]:
    text, said = browse(HARNESS.replace("WIDTH", str(width)).replace("PAGE", html.escape(page)))
    assert said == []
    found = re.search(r'<pre id="answers">(.+?)</pre>', text)
    assert found, "the harness came to no answer"
    return dict(json.loads(html.unescape(found[1])))


def test_the_page_runs_without_complaint_and_a_complaint_would_be_seen(browse: Browse, page: str) -> None:
    text, said = browse(page)
    assert said == []
    assert text.count('aria-sort="none"') == 2 * 13
    foreign = page.replace("</body>", "<script>document.title = 'taken over'</script></body>")
    text, said = browse(foreign)
    assert "<title>taken over" not in text
    assert "Content Security Policy" in " ".join(said)


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_sorts_and_fits(browse: Browse, page: str, width: int) -> None:
    found = answers(browse, page, width)
    before, (accuracy, down), (again, up) = found["before"], found["accuracy"], found["again"]
    assert [name.split()[0] for name in before] == [name.split()[0] for name in METHODS]
    assert (down, up) == ("descending", "ascending")
    without = {"strict_penalty", "fairness_training"}
    assert accuracy[0] == "penalty"
    assert again[0] == "plain"
    assert again[-3] == "penalty"
    assert set(accuracy[-2:]) == set(again[-2:]) == without
    gap, direction = found["gap"]
    assert direction == "ascending"
    assert gap[0].startswith("<script>")
    assert gap[-3] == "plain"
    assert found["name"][0][1:3] == ["exponentiated_gradient", "fairness_training"]
    assert found["sorted"] == ["ascending", *["none"] * 12]
    for wide, seen in (found["page"], found["open"]):  # as wide as what is seen of it: all but a scroll bar
        assert wide == seen
        assert width - 20 <= seen <= width
    assert found["table"][0] > found["table"][1]
    assert found["image"] == 1200
    assert all(name.startswith("data:") for name in found["fetched"])
