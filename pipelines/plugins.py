"""Readers and tasks of other packages, announced under the entry point `temporal.plugins`.

    [project.entry-points."temporal.plugins"]
    mine = "mine.plugin"

The module `mine.plugin` is imported when a pipeline is made or a command works on a task, and calls
`temporal.models.register` and `temporal.pipelines.register_task`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from importlib import metadata

GROUP = "temporal.plugins"

_loaded: set[str] = set()
"""Plugins that were asked for, by name and value: each is imported once, and told of once."""


def _warn(sentence: str) -> None:
    warnings.warn(sentence, RuntimeWarning, stacklevel=4)


def load_plugins(tell: Callable[[str], object] = _warn) -> None:
    """Import what the installed packages announce, once.

    Args:
        tell: gets a sentence for each plugin that cannot be used; the others are there anyway.
    """
    for plugin in _announced(tell):
        key = f"{plugin.name}={plugin.value}"
        if key in _loaded:
            continue
        _loaded.add(key)
        try:
            found = plugin.load()
            if plugin.attr:
                found()
        except (Exception, SystemExit) as error:  # its fault must not end what does without it
            package = "" if plugin.dist is None else f" of {plugin.dist.name}"
            why = " ".join(str(error).split()) or "no reason given"
            tell(
                f"plugin {plugin.name!r}{package} ({plugin.value}) is left out: "
                f"{type(error).__name__}: {why}"
            )


def _announced(tell: Callable[[str], object]) -> Iterator[metadata.EntryPoint]:
    try:
        yield from metadata.entry_points(group=GROUP)
        return
    except Exception:  # noqa: S110  # of one package, whose entry points are no such file
        pass
    for package in metadata.distributions():
        try:
            found = package.entry_points.select(group=GROUP)
        except Exception as error:
            told = f"package {package.name} has entry points that cannot be read: {error}"
            if told not in _loaded:
                _loaded.add(told)
                tell(told)
        else:
            yield from found
