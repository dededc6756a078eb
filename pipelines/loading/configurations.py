"""The configuration in a folder or at a hub id, or what to do where nothing here knows its kind."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import transformers
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

import temporal.models as _readers  # the Auto classes know them from here on
from temporal.checks import is_out_of_memory

from ..plugins import GROUP


def open_configuration(place: str | Path, hub: Mapping[str, Any] | None = None) -> PreTrainedConfig:
    """Read a configuration of a reader or of a model of transformers.

    Args:
        place: a folder with a `config.json`, the file, or a hub id.
        hub: options of `from_pretrained` about where it lies.

    Raises:
        OSError: there is none.
        ValueError: it is of no kind that is known here, or it has a value that cannot be.
    """
    hub = dict(hub or {})
    with built_from(place):
        try:
            return AutoConfig.from_pretrained(place, **hub)
        except Exception:
            why = _unknown_kind(place, hub)
            if why is None:
                raise
    raise ValueError(f"{place} {why}")


@contextmanager
def built_from(place: str | Path) -> Iterator[None]:
    """Name the place where something cannot be built as its configuration says.

    A configuration is a file that anybody may have written: whatever its values lead to is no fault
    of this library.

    Raises:
        ValueError: it cannot be built.
        OSError, ImportError: as they come.
    """
    try:
        yield
    except (OSError, ImportError):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        message = " ".join(str(error).split())
        if isinstance(error, ValueError):
            if str(place) in message:
                raise
            raise ValueError(f"{place}: {message}") from error
        raise ValueError(
            f"{place} cannot be loaded as its config.json says "
            f"({type(error).__name__}: {message}): mend it, or load the model again"
        ) from error


def is_reader(config: PreTrainedConfig) -> bool:
    """Whether a configuration is that of a registered reader."""
    return config.model_type in _readers.READERS


def _unknown_kind(place: str | Path, hub: dict[str, Any]) -> str | None:
    """What to say of a configuration whose `model_type` nothing has; None: that is not it."""
    try:
        fields, _ = PreTrainedConfig.get_config_dict(place, **hub)
    except Exception:  # the caller's own error tells of it
        return None
    if "auto_map" in fields:  # code of its own, which transformers has told about
        return None
    kind = fields.get("model_type")
    if not isinstance(kind, str) or not kind:
        what = "has no model_type" if kind is None else f"has model_type {kind!r}, which is no name"
        return (
            f"{what} in its config.json, so nothing can tell how to load it: save it by "
            "save_pretrained of a reader or of a model of transformers"
        )
    if kind in CONFIG_MAPPING:
        return None
    return (
        f"has model_type {kind!r}, which neither temporal nor transformers "
        f"{transformers.__version__} knows. A reader of another package is known once that package "
        f"is installed (it announces itself under the entry point group {GROUP!r}) or once the "
        "module that calls temporal.models.register is imported; a newer model of transformers, "
        "once transformers is upgraded"
    )


def check_types(config: PreTrainedConfig) -> None:
    """Raise ValueError unless the fields of a reader's configuration have values of their types.

    Those of readers of this package, as far as their types are known here; transformers looks at
    its own.
    """
    for kind in type(config).__mro__:
        if not kind.__module__.startswith("temporal."):
            continue
        try:
            hints = inspect.get_annotations(kind, eval_str=True)
        except NameError:
            continue
        for name, hint in hints.items():
            if not _fits(getattr(config, name, None), hint) and hasattr(config, name):
                shown = getattr(hint, "__name__", hint) if isinstance(hint, type) else hint
                raise ValueError(f"{name} ({getattr(config, name)!r}) must be of type {shown}")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of JSON is of a type, as far as it can be told."""
    origin, args = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in args)
    if origin is Literal:
        return value in args
    if origin in (None, NoneType):
        return value is None
    if origin is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if origin is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if origin in (list, tuple, Sequence):
        of_one_kind = args[:1] if origin is not tuple else ()
        return isinstance(value, list | tuple) and all(
            _fits(one, hint) for hint in of_one_kind for one in value
        )
    if origin in (dict, Mapping):
        return isinstance(value, Mapping)
    return not isinstance(origin, type) or isinstance(value, origin)
