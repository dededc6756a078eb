"""The labels that inputs bring, named as the model names its classes."""

from __future__ import annotations

from typing import Any

from .row import storable

_MOST_DIGITS = 18
"""Of a class number: what is longer is some other number."""


def label_names(pipe: Any) -> dict[int, str]:
    """The model's label names by index; empty where the pipeline does not tell."""
    config = getattr(getattr(pipe, "model", None), "config", None)
    names = getattr(pipe, "id2label", None) or getattr(config, "id2label", None) or {}
    return {int(index): str(name) for index, name in names.items()}


def known_targets(pipe: Any) -> tuple[str, ...]:
    """What the targets of rows may be that are classes of the model: see `rows`."""
    names = label_names(pipe)
    others = [name_of_another(name, index) for index, name in names.items()]
    return (*names.values(), *others)


def name_of_another(name: str, index: int | None) -> str:
    """Name a class where another one of the same name was predicted."""
    return f"{name} ({index})"


def target_name(label: Any, names: dict[int, str]) -> str | None:
    """Name an input's own label as the model names it, so that the two can be compared.

    A label that is one of the model's names (in any case) is that name; an index, as a number or
    as digits, is the name it stands for (columns of numbers that lack some hold 1.0 for 1);
    anything else is kept as text.
    """
    if label is None:
        return None
    text = storable(str(label))
    for name in names.values():
        if name.casefold() == text.casefold():
            return name
    index = _index(text)
    return text if index is None else names.get(index, text)


def target_class(label: Any, names: dict[int, str]) -> int | None:
    """The class that an input's own label stands for, where it is an index and not a name."""
    text = str(label)
    index = _index(text)
    return index if index in names and text not in names.values() else None


def _index(text: str) -> int | None:
    """The class number that a label is; None where it is no whole number."""
    digits, _, rest = text.partition(".")
    is_whole = digits.isdecimal() and len(digits) <= _MOST_DIGITS and not rest.strip("0")
    return int(digits) if is_whole else None
