"""The options of `transformers.pipeline` about the model: what each does here, or why not."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedConfig

MODEL_OPTIONS = (
    *("trust_remote_code", "revision", "token", "config"),
    *("dtype", "torch_dtype", "device_map", "model_kwargs"),
)
"""Options of `pipeline()` that say how a model is loaded."""

_OF_THE_HUB = ("cache_dir", "force_download", "local_files_only", "subfolder", "proxies")
"""Members of `model_kwargs` that hold for all files of a checkpoint, not only the weights."""

_WITHOUT_EFFECT = ("framework", "use_fast", "num_workers", "modelcard", "binary_output")
"""Accepted as transformers does, and of no effect: there is one framework, and inputs are prepared
while the model runs."""

_REFUSED = {
    "pipeline_class": "the reader decides how inputs are read",
    "return_all_scores": "pass top_k=None for the scores of all classes",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelOptions:
    """How a model is loaded."""

    hub: dict[str, Any] = field(default_factory=lambda: {"revision": "main"})
    """For everything that comes from a checkpoint: revision, token, whether its code may run."""
    weights: dict[str, Any] = field(default_factory=dict)
    """For the model alone: options of its `from_pretrained`."""
    dtype: Any = torch.float32
    """Of the weights; or `"auto"`, as they are stored."""
    config: Any = None
    """A configuration, or where one lies, instead of the checkpoint's own."""
    asked: tuple[str, ...] = ()
    """Options that say how weights are loaded, as far as they were given."""

    @property
    def device_map(self) -> Any:
        """Where the parts of the model go, if that was asked for."""
        return self.weights.get("device_map")


def model_options(
    *,
    trust_remote_code: bool | None = False,
    revision: str | None = None,
    token: str | bool | None = None,
    config: Any = None,
    dtype: Any = None,
    torch_dtype: Any = None,
    device_map: Any = None,
    model_kwargs: Mapping[str, Any] | None = None,
) -> ModelOptions:
    """Check and sort the options that say how a model is loaded.

    Args:
        trust_remote_code: run code that comes with the model. Never on by itself.
        revision: of a hub id.
        token: for the hub.
        config: a configuration, or a path or id of one, instead of the model's.
        dtype: of the weights: a torch dtype or its name, or `"auto"` as they are stored; default:
            float32, whatever they are stored as.
        torch_dtype: the older name of `dtype`.
        device_map: of accelerate, for classifiers of transformers.
        model_kwargs: more options of the model's `from_pretrained`.

    Raises:
        ValueError: an option has no such value, or two contradict each other.
    """
    given = dict(model_kwargs or {})
    for name, value in (("dtype", dtype), ("device_map", device_map), ("config", config)):
        if value is not None and given.setdefault(name, value) is not value:
            raise ValueError(f"{name} ({value!r}) and model_kwargs ({given[name]!r}): give one")
    for value in (torch_dtype, given.pop("torch_dtype", None)):
        if value is not None and given.setdefault("dtype", value) != value:
            raise ValueError(f"torch_dtype ({value!r}) and dtype ({given['dtype']!r}): give one")
    if given.pop("use_safetensors", True) is False:
        raise ValueError(
            "use_safetensors (False) must be True: a pickle may run code when it is opened; "
            "convert the model by save_pretrained"
        )
    hub = {"trust_remote_code": bool(trust_remote_code), "revision": revision or "main"}
    hub |= {name: given.pop(name) for name in _OF_THE_HUB if name in given}
    for name, value in (("trust_remote_code", trust_remote_code), ("revision", revision)):
        if given.pop(name, value) != value:
            raise ValueError(f"{name} ({value!r}) and model_kwargs contradict each other: give one")
    if token is not None or "token" in given:
        hub["token"] = given.pop("token", None) if token is None else token
        given.pop("token", None)
    config = given.pop("config", None)
    if config is not None and not isinstance(config, str | PreTrainedConfig):
        config = str(config)
    asked = tuple(name for name in given if name != "output_loading_info")
    given.pop("output_loading_info", None)
    kind = _dtype(given.pop("dtype", None))
    return ModelOptions(hub=hub, weights=given, dtype=kind, config=config, asked=asked)


def take_model_options(options: dict[str, Any]) -> ModelOptions:
    """Take the options about the model out of all that a pipeline was given.

    Raises:
        ValueError: an option has no such value.
        TypeError: an option of transformers is refused here.
    """
    for name in [name for name in _WITHOUT_EFFECT if name in options]:
        value = options.pop(name)
        if name == "framework" and value not in (None, "pt"):
            raise ValueError(f"framework ({value!r}) must be 'pt': models are those of torch")
    for name, why in _REFUSED.items():
        if options.pop(name, None) is not None:
            raise TypeError(f"{name} is not taken: {why}")
    return model_options(**{n: options.pop(n) for n in MODEL_OPTIONS if n in options})


def check_names(task: str, classes: Sequence[type], options: Iterable[str]) -> None:
    """Raise TypeError for an option that does not exist, before anything is loaded.

    Args:
        task: for the message.
        classes: what takes the options.
        options: their names.
    """
    known = {
        name
        for one in classes
        for name, parameter in inspect.signature(one).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    for name in options:
        if name not in known:
            raise TypeError(f"option {name!r} of {task} must be one of {sorted(known)}")


def _dtype(dtype: Any) -> Any:
    if dtype is None:
        return torch.float32
    if dtype == "auto":
        return dtype
    found = getattr(torch, dtype.removeprefix("torch."), None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ValueError(
            f"dtype ({dtype!r}) must be 'auto' or one of torch's floating-point types, e.g. "
            "'bfloat16'"
        )
    return found
