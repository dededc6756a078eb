"""Modules under the names that they had before they moved: `temporal.models.frame_exit` and others.

Importing an old name gives the very module that has the new one, so that a class stays one class.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# (old room, new room): modules, those that changed their names as `old=new`.
_MOVED = {
    ("temporal.models", "temporal.models.video"): (
        "frame_exit configuration_frame_exit frame_votes pooling"
    ),
    ("temporal.models", "temporal.models.clips"): "clip_reader",
    ("temporal.models.video", "temporal.models.clips"): "clip_reader configuration_clip_reader",
    ("temporal.models", "temporal.models.recurrent"): (
        "skim_rnn skip_rnn leap_lstm lstm_jump lstm_shuttle jumper structural_jump_lstm "
        "variable_rnn hm_rnn adaptive_computation_time kernel_runs walks punctuation "
        "class_scores configuration_recurrent=configuration"
    ),
    ("temporal.models", "temporal.models.depth"): (
        "early_exit configuration_early_exit depth_exit standardised_exit "
        "learned_criteria pruned_layers token_pruning regimes whole_classifier "
        "whole_layers"
    ),
    ("temporal.models", "temporal.models.chunks"): (
        "chunk_reader chunk_cohort chunk_dress chunk_pooling configuration_chunk_reader "
        "bag_of_tokens"
    ),
    ("temporal.models", "temporal.backbones"): (
        "efficientnet_lite pixels processors image_backbone=image"
    ),
    ("temporal.models.encoders", "temporal.backbones.text"): (
        "bert_layers families padding tokens"
    ),
    ("temporal.models", "temporal"): ("checks"),
    ("temporal", "temporal.models.selection"): "selection=select",
    ("temporal.models.video", "temporal.models.selection"): "selection=select",
    ("temporal.data", "temporal.data.tables"): (
        "delimited dialect lines json_lines parquet containers broken row"
    ),
    ("temporal.data", "temporal.pipelines.jobs"): ("manifest fingerprint"),
    ("temporal.data", "temporal.pipelines.jobs.store"): (
        "ledger parts join seal content columns durable lock"
    ),
    ("temporal.data.decode", "temporal.data.decode.files"): ("sniff container view local_url webp"),
    ("temporal.data.decode", "temporal.data.decode.packets"): (
        "index index_cache order plan=runs price rules trusted cursor"
    ),
    ("temporal.data.decode", "temporal.data.decode.decoders"): (
        "backends pyav decord torchcodec apart damage decoding flight lane once primer "
        "lanes=side_by_side"
    ),
    ("temporal.data.decode", "temporal.data.decode.pictures"): ("orientation shelf sink glimpse"),
    ("temporal.data.decode.packets", "temporal.data.decode.packets"): "plan=runs",
    ("temporal.data.decode.decoders", "temporal.data.decode.decoders"): "lanes=side_by_side",
    ("temporal.data.decode.isolation", "temporal.data.decode.isolation"): "worker_lane=worker_link",
    ("temporal.pipelines", "temporal.pipelines.jobs"): (
        "job shares ranks stop streams run_contents"
    ),
    ("temporal.pipelines", "temporal.pipelines.jobs.table"): "row summary targets trace_column",
    ("temporal.pipelines.jobs", "temporal.pipelines.jobs.table"): (
        "row rows row_columns extra summary targets trace_column"
    ),
    ("temporal.pipelines", "temporal.pipelines.command"): (
        "cli faults inspect command_checks=checks command_run=run command_show=show"
    ),
    ("temporal.pipelines", "temporal.pipelines.display"): (
        "canvas picture picture_text picture_video report states strip"
    ),
    ("temporal.pipelines", "temporal.pipelines.loading"): (
        "checkpoints loaded_model loaded_weights model_options places"
    ),
    ("temporal.pipelines", "temporal.pipelines.tasks"): (
        "text_classification video_classification text_models video_models video_inputs "
        "image_processors transformers_tasks"
    ),
}


def _table() -> dict[str, str]:
    table = {"temporal.models.encoders": "temporal.backbones.text"}
    for (old_room, new_room), modules in _MOVED.items():
        for module in modules.split():
            old, _, new = module.partition("=")
            table[f"{old_room}.{old}"] = f"{new_room}.{new or old}"
    return table


MOVED = _table()
"""New names of modules by their old ones."""


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        new = MOVED.get(fullname)
        return None if new is None else ModuleSpec(fullname, _Loader(new))


class _Loader(Loader):
    def __init__(self, new: str) -> None:
        self._new = new

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._new)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has put that of the old name there


def names_of(module: str) -> Callable[[str], Any]:
    """The `__getattr__` of a package that gives what a module has."""

    def get(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = importlib.import_module(module)
        if name not in vars(found):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return vars(found)[name]

    return get


def find_moved() -> None:
    """Let old names be imported, from now on."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        # First: folders of a checkout that hold nothing but caches look like packages to Python.
        sys.meta_path.insert(0, _Finder())
