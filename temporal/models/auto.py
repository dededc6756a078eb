"""The Auto classes of transformers find the readers, and import one when it is asked for.

transformers imports its own models so; what is registered with it has to be imported before. The
mapping in which it keeps that (`_extra_content`) gets readers when they are looked up.
"""

from __future__ import annotations

import sys
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from types import ModuleType
from typing import Any

from ..lazy import when_imported
from .registry import RECORDS, ReaderRecord

_CONFIGS = "transformers.models.auto.configuration_auto"
_MODELS = "transformers.models.auto.modeling_auto"


class _Configs(dict[str, Any]):
    """What was registered, and the readers' configurations, by `model_type`."""

    def __missing__(self, model_type: str) -> Any:
        self[model_type] = RECORDS[model_type].config_class
        return self[model_type]

    def __contains__(self, model_type: object) -> bool:
        return super().__contains__(model_type) or model_type in RECORDS

    def __iter__(self) -> Iterator[str]:
        return iter({**dict.fromkeys(RECORDS), **dict.fromkeys(super().__iter__())})

    def keys(self) -> Any:
        return KeysView(self)

    def values(self) -> Any:
        return ValuesView(self)

    def items(self) -> Any:
        return ItemsView(self)


class _Models(dict[Any, Any]):
    """What was registered with an Auto class, and its readers, by the configuration's class.

    There is no such class before its reader is imported. So only imported ones are listed.
    """

    def __init__(self, auto_class: str, registered: dict[Any, Any]) -> None:
        super().__init__(registered)
        self._auto_class = auto_class

    def __missing__(self, config_class: Any) -> Any:
        record = self._record(config_class)
        if record is None:
            raise KeyError(config_class)
        self[config_class] = record.reader_class
        return self[config_class]

    def __contains__(self, config_class: object) -> bool:
        return super().__contains__(config_class) or self._record(config_class) is not None

    def keys(self) -> Any:
        self._take_imported()
        return super().keys()

    def values(self) -> Any:
        self._take_imported()
        return super().values()

    def items(self) -> Any:
        self._take_imported()
        return super().items()

    def _record(self, config_class: Any) -> ReaderRecord | None:
        record = RECORDS.get(str(getattr(config_class, "model_type", None)))
        if record is None or record.auto_class != self._auto_class:
            return None
        return record if record.config_class is config_class else None

    def _take_imported(self) -> None:
        for record in RECORDS.values():
            if record.auto_class == self._auto_class and record.path in sys.modules:
                self.setdefault(record.config_class, record.reader_class)


def _open_configs(module: ModuleType) -> None:
    mapping: Any = vars(module)["CONFIG_MAPPING"]
    mapping._extra_content = _Configs(mapping._extra_content)


def _open_models(module: ModuleType) -> None:
    for name in {record.auto_class for record in RECORDS.values()}:
        mapping: Any = vars(module)[name]._model_mapping
        if not isinstance(mapping._extra_content, _Models):
            mapping._extra_content = _Models(name, mapping._extra_content)


def open_auto_classes() -> None:
    """Let the Auto classes find the readers, once transformers has them."""
    when_imported(_CONFIGS, _open_configs)
    when_imported(_MODELS, _open_models)


def register(record: ReaderRecord) -> None:
    """Add a reader of your own: pipelines, scripts and Auto classes load it by its `model_type`.

    Args:
        record: where it is; its module is imported when it is asked for.

    Raises:
        ValueError: another reader, or a model of transformers, has that name.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    if record.model_type in CONFIG_MAPPING_NAMES:
        raise ValueError(
            f"model_type ({record.model_type!r}) must be one that transformers does not have"
        )
    if RECORDS.setdefault(record.model_type, record) != record:
        raise ValueError(
            f"model_type ({record.model_type!r}) must be one that no other reader has: it is that "
            f"of {RECORDS[record.model_type].reader}"
        )
    when_imported(_MODELS, _open_models)
