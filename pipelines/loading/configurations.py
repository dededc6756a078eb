"""The configuration in a folder or at a hub id, or what to do where nothing here knows its kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transformers
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

import temporal.models as _readers  # the Auto classes know them from here on

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
    try:
        return AutoConfig.from_pretrained(place, **hub)
    except Exception:
        why = _unknown_kind(place, hub)
        if why is None:
            raise
    raise ValueError(f"{place} {why}")


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
