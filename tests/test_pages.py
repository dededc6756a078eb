"""The pages of the documentation name files that are there, and link to what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "scripts/README.md",
    *(str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").rglob("*.md"))),
]
HOMES = ("", "temporal", "data", "data/decode", "data/decode/remote", "pipelines")
"""Folders that pages leave out of the names of files inside them."""
EXAMPLES = {"outliers_first.py", "browsing_rnn.py", "fingerprint.py"}
"""Files that a page adds."""


def is_there(name: str) -> bool:
    """Whether a page's name of a file, a folder or a pattern leads to one of the repository."""
    if Path(name).name in EXAMPLES:
        return True
    if "/" in name.rstrip("/"):
        return any(any(ROOT.joinpath(home).glob(name)) for home in HOMES)
    folders = ("temporal", "data", "pipelines", "scripts", "tests", "docs")
    return any(any((ROOT / folder).rglob(name)) for folder in folders) or (ROOT / name).exists()


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_and_links_to_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", re.sub(r"```.*?```", "", text, flags=re.S))
    here = (ROOT / page).parent
    missing = [link for link in links if "://" not in link and not (here / link).exists()]
    if not page.startswith("docs/results/2"):  # those say what was there on their day
        names = re.findall(r"`([\w./*-]*[\w*](?:\.py|\.sh|\.md|/))`", text)
        ours = (name for name in names if not name.startswith(("out/", "examples/", "mine/")))
        missing += [name for name in ours if not is_there(name)]
    assert not missing, f"{page} names what is not there: {missing}"


@pytest.mark.parametrize("page", PAGES)
def test_tests_that_a_page_names_are_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`([\w/.]+\.py)::(\w+)`", text)
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (ROOT / "tests" / file).is_file()
        or f"def {test}(" not in (ROOT / "tests" / file).read_text(encoding="utf-8")
    ]
    assert not missing, f"{page} names tests that are not there: {missing}"
