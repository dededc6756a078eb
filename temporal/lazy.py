"""What is imported when it is asked for: names of a package, and what another one waits for."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_waiting: dict[str, list[Callable[[ModuleType], object]]] = {}
"""What is called with a module after its import, by its name."""


def exports(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a module that exports names of others, and imports these when it must.

    Args:
        module: Its own name. The modules that lie in it are its names, too.
        names: Where each name is, relative to `module` or absolute.
    """

    def get(name: str) -> Any:
        here = sys.modules[module]
        if name in names:
            package = module if hasattr(here, "__path__") else module.rpartition(".")[0]
            found = getattr(importlib.import_module(names[name], package), name)
        elif not name.startswith("_") and _is_inside(here, name):
            return importlib.import_module(f"{module}.{name}")
        else:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        setattr(here, name, found)  # next time it is there
        return found

    return get


def _is_inside(package: ModuleType, name: str) -> bool:
    if not hasattr(package, "__path__"):
        return False
    return importlib.util.find_spec(f"{package.__name__}.{name}") is not None


def when_imported(name: str, then: Callable[[ModuleType], object]) -> None:
    """Call `then(module)` once a module is imported, now where it is already.

    So one package completes another without importing it.
    """
    if name in sys.modules:
        then(importlib.import_module(name))  # waits for a thread that is importing it
        return
    _waiting.setdefault(name, []).append(then)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds what others find, and lets their loader call what waits for the module."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _waiting:
            return None
        finders = (finder for finder in sys.meta_path if not isinstance(finder, _Finder))
        found = (finder.find_spec(fullname, path, target) for finder in finders)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_tell(module: ModuleType) -> None:
                execute(module)
                for then in _waiting.pop(fullname, ()):
                    then(module)

            spec.loader.exec_module = execute_and_tell  # type: ignore[method-assign]
        return spec
