"""Temporal-wise dynamic neural networks: read what matters, skip the rest, halt when certain."""

from pathlib import Path as _Path
from typing import TYPE_CHECKING as _TYPE_CHECKING

from .lazy import exports as _exports
from .moved import find_moved as _find_moved

if _TYPE_CHECKING:
    from .models.selection.select import select as select
    from .models.selection.selection import Selection as Selection

__version__ = "0.1.0"

# In a source checkout `pipelines/` and `data/` lie beside this folder; in a wheel they lie inside
# it. Either way they import as `temporal.pipelines` and `temporal.data`.
_root = _Path(__file__).resolve().parent.parent
if (_root / "pyproject.toml").is_file() and (_root / "pipelines").is_dir():
    __path__.append(str(_root))
_find_moved()

_NAMES = {"Selection": ".models.selection.selection", "select": ".models.selection.select"}
__getattr__ = _exports(__name__, _NAMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})
