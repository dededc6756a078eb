"""What may be turned on a `ClipReader`: the tokens of a clip, and when it halts."""

from __future__ import annotations

from typing import Any

from ...checks import check_in, num_classes
from ..every_exit import exit_space, shared_thresholds
from ..policy_space import Policy, PolicySpace
from ..stored_points import NEVER

_LEVELS: dict[str, tuple[str, float | None, tuple[float, ...]]] = {
    "run_length": ("token_threshold", None, (0.02, 0.05, 0.1)),
    "merge": ("keep_share", 1.0, (0.9, 0.8, 0.7, 0.6, 0.5)),
}
"""By `token_reduction`: the field, its value with all tokens, and values with fewer and fewer."""


def token_fields(text: str) -> dict[str, Any]:
    """Fields of a `ClipReaderConfig` from a word: `"merge"`, `"merge:0.7"`, `"run_length:0.05"`.

    Args:
        text: a way to have fewer tokens; behind a colon its `keep_share` or `token_threshold`.

    Raises:
        ValueError: there is no such way, or what is behind the colon is no number.
    """
    name, colon, level = text.partition(":")
    check_in("token_reduction", name, _LEVELS)
    if not colon:
        return {"token_reduction": name}
    field = _LEVELS[name][0]
    try:
        return {"token_reduction": name, field: float(level)}
    except ValueError:
        raise ValueError(
            f"token_reduction ({text!r}) must be {name!r}, or {name + ':'!r} and a number, its "
            f"{field}"
        ) from None


def token_knobs(config: Any) -> dict[str, Any]:
    """Arguments of `ReducedClips` by a configuration; none where clips have all their tokens."""
    if config.token_reduction is None:
        return {}
    if config.token_reduction == "merge":
        return {"keep_share": config.keep_share}
    return {"threshold": config.token_threshold}


def depth_space(config: Any, clips: PolicySpace) -> PolicySpace:
    """Layers of a clip, and all that may be turned on its reader otherwise, each with each.

    Args:
        config: with `exit_layers`.
        clips: all that may be turned otherwise.
    """
    count = len(config.exit_layers)
    if count == 1:
        return clips
    full = {**clips.full, "depth_thresholds": [NEVER] * (count - 1)}
    alone = clips.closed_because is not None

    def cheaper(number: int) -> list[Policy]:
        levels = shared_thresholds(config.criterion, count, num_classes(config), count=number)
        if alone:
            return [{**full, "depth_thresholds": level} for level in levels]
        return [
            {**policy, "depth_thresholds": level}
            for level in [full["depth_thresholds"], *levels]
            for policy in [clips.full, *clips.cheaper(number)]
        ][1:]

    return PolicySpace(full=full, cheaper=cheaper, ordered=alone)


def clip_space(config: Any) -> PolicySpace:
    """Fewer and fewer tokens, then fewer and fewer clips of the fewest tokens.

    In this order each policy reads no more than the one before.
    """
    reduction, several = config.token_reduction, config.num_exits > 1
    closed = None
    if not several and reduction is None:
        closed = (
            f"num_clips ({config.num_clips}) is one clip, after which nothing is left to halt: "
            "there is nothing to calibrate; read the classifier in several clips, or with "
            "token_reduction="
        )
    exits = exit_space(config, closed_because=closed, max_share=1.0)
    if reduction is None:
        return exits
    name, whole, levels = _LEVELS[reduction]
    full = {**exits.full, name: whole}

    def cheaper(count: int) -> list[Policy]:
        few = levels if not several else levels[-max(1, min(len(levels), count // 2)) :]
        policies = [{**full, name: level} for level in few][-count:]
        if several and count > len(policies):
            halts = exits.cheaper(count - len(policies))
            policies += [{**policy, name: levels[-1]} for policy in halts]
        return policies

    return PolicySpace(full=full, cheaper=cheaper)
