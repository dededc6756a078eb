"""The page of public names: each can be imported, and none that is exported is missing."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "api.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| `")]
NAMES = [name for row in ROWS for name in re.findall(r"`(temporal\.[\w.]+)`", row.split("|")[1])]


def found(name: str) -> Any:
    """What a full name names: a module, or something in one."""
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


def test_the_page_names_each_once() -> None:
    assert len(NAMES) > 70
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_page_names_is_there_and_says_what_it_is(name: str) -> None:
    thing = found(name)
    if isinstance(thing, ModuleType):
        assert thing.__doc__
    elif callable(thing):
        assert (thing.__doc__ or "").strip()
        assert thing.__name__ == name.rpartition(".")[2]


FUNCTIONS = [name for name in NAMES if inspect.isfunction(found(name))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_says_what_it_takes_and_gives(name: str) -> None:
    function = found(name)
    said = inspect.getdoc(function) or ""
    arguments = said.partition("Args:")[2]
    signature = inspect.signature(function)
    assert not [word for word in signature.parameters if not re.search(rf"\b{word}\b", arguments)]
    if signature.return_annotation not in (None, "None"):
        assert "Returns:" in said or "Yields:" in said


@pytest.mark.parametrize("package", ["pipelines", "data", "models", "training"])
def test_what_a_package_exports_is_on_the_page(package: str) -> None:
    module = importlib.import_module(f"temporal.{package}")
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    exported = set(re.findall(r"\b(\w+) as \1\b", source))
    named = {name.rpartition(".")[2] for name in NAMES if name.startswith(f"temporal.{package}.")}
    assert exported and exported <= named, f"add to docs/api.md: {sorted(exported - named)}"
