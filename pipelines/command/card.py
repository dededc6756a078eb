"""`temporal card`: the model card of a calibrated reader, beside it."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

from transformers import PreTrainedConfig

from ...models import READERS
from ...source import KIND_OF_UNIT
from ...training.model_card import CardFacts, render_card
from ..loading.configurations import is_reader, open_configuration
from .faults import UsageFault


def card_command(folder: str, facts_file: str | None) -> Path:
    """Write `README.md` in a saved reader's folder, and return its path.

    Args:
        folder: of the reader.
        facts_file: JSON with the fields of `CardFacts`, which a configuration does not know;
            None: its name, and what can be read in its configuration.

    Raises:
        UsageFault: there is no reader, it is not calibrated, or the file holds no such facts.
    """
    if not Path(folder, "config.json").is_file():
        raise UsageFault(f"model ({folder}) must be the folder of a saved reader")
    try:
        config = open_configuration(folder)
    except (ValueError, OSError) as error:
        raise UsageFault(f"model ({folder}) cannot be loaded: {error}") from error
    if not is_reader(config):
        raise UsageFault(
            f"model ({folder}) must be a reader of this library, and its model_type is "
            f"{config.model_type!r}"
        )
    facts = _plain_facts(folder, config) if facts_file is None else _read_facts(facts_file)
    try:
        card = render_card(config, facts)
    except ValueError as error:
        raise UsageFault(f"model ({folder}): {error}") from error
    path = Path(folder, "README.md")
    path.write_text(card, encoding="utf-8")
    return path


def _plain_facts(folder: str, config: PreTrainedConfig) -> CardFacts:
    reader = READERS[config.model_type]
    units = f"{KIND_OF_UNIT.get(reader.unit, 'source')}s"
    names = ", ".join(map(str, (config.id2label or {}).values()))
    return CardFacts(
        name=Path(folder).resolve().name,
        summary=f"A {reader.__name__}, which reads {units} in part: what does not matter is "
        "skipped, and reading halts when it is certain.",
        facts={"Classes": names, "Made by": "temporal-nn"},
        units=units,
    )


def _read_facts(path: str) -> CardFacts:
    wanted = {one.name for one in fields(CardFacts)}
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageFault(f"facts ({path}) must be a JSON file: {error}") from error
    if not isinstance(found, dict) or set(found) != wanted or not isinstance(found["facts"], dict):
        raise UsageFault(f"facts ({path}) must be a JSON object with {', '.join(sorted(wanted))}")
    return CardFacts(**found)
