"""Our tasks inside transformers: `transformers.pipeline("adaptive-text-classification", ...)`."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import transformers
from transformers import Pipeline as TransformersPipeline
from transformers.pipelines import PIPELINE_REGISTRY

from ..pipeline import pipeline
from .image_processors import PROCESSOR_OPTIONS
from .registry import RECORDS


class _AdaptivePipeline(TransformersPipeline):
    """A transformers pipeline whose inputs go to ours instead of preprocess and forward.

    transformers loads the model and the tokenizer; reading needs to ask for units while the model
    runs, which its preprocess-forward-postprocess cannot.
    """

    # transformers' own subclasses set these flags so; their base declares them as None alone.
    _load_tokenizer: Any = None
    _load_image_processor: Any = False
    _load_video_processor: Any = False
    _load_feature_extractor: Any = False
    _load_processor: Any = False
    adaptive_task: str

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        budget: float | None = None,
        max_drop: float | None = None,
        policy: str | None = None,
        batch_size: int | None = None,
        top_k: Any = "",
        **options: Any,
    ) -> None:
        known = {
            *inspect.signature(TransformersPipeline.__init__).parameters,
            "dtype",
            "num_workers",
        }
        theirs = {name: options.pop(name) for name in list(options) if name in known}
        super().__init__(model=model, tokenizer=tokenizer, **theirs)
        options |= {name: theirs[name] for name in PROCESSOR_OPTIONS if theirs.get(name)}
        if tokenizer is not None:
            options["tokenizer"] = tokenizer
        self.adaptive: Any = pipeline(
            self.adaptive_task,
            model=model,
            budget=budget,
            max_drop=max_drop,
            policy=policy,
            batch_size=batch_size,
            device=self.device,
            top_k=top_k,
            **options,
        )

    def __call__(self, inputs: Any, **options: Any) -> Any:  # type: ignore[override]  # ours
        """As the pipelines of `temporal.pipelines`."""
        return self.adaptive(inputs, **options)

    def read(self, inputs: Any, **options: Any) -> Any:
        """As `temporal.pipelines.Pipeline.read`."""
        return self.adaptive.read(inputs, **options)

    def _sanitize_parameters(self, **options: Any) -> tuple[dict, dict, dict]:
        return {}, {}, {}

    def preprocess(self, *args: Any, **options: Any) -> Any:
        raise NotImplementedError("inputs go to `adaptive`")

    def _forward(self, *args: Any, **options: Any) -> Any:
        raise NotImplementedError("inputs go to `adaptive`")

    def postprocess(self, *args: Any, **options: Any) -> Any:
        raise NotImplementedError("inputs go to `adaptive`")


@cache
def _adaptive_class(task: str) -> Any:
    """`adaptive-video-classification` is `AdaptiveVideoClassification`."""
    name = "Adaptive" + "".join(word.capitalize() for word in task.split("-"))
    members = {
        "__doc__": f"`adaptive-{task}`.",
        "__module__": __name__,
        "_load_tokenizer": RECORDS[task].kind == "text",
        "adaptive_task": task,
    }
    return type(name, (_AdaptivePipeline,), members)


AdaptiveTextClassification = _adaptive_class("text-classification")
AdaptiveVideoClassification = _adaptive_class("video-classification")


def register_tasks() -> None:
    """Register all tasks whose models transformers can load, once."""
    for task, record in RECORDS.items():
        name = f"adaptive-{task}"
        # transformers takes the first class that loads a checkpoint, whatever that was saved as.
        classes = ("AutoModel",) if "AutoModel" in record.auto_classes else record.auto_classes
        if classes and name not in PIPELINE_REGISTRY.supported_tasks:
            PIPELINE_REGISTRY.register_pipeline(
                name,
                pipeline_class=_adaptive_class(task),
                pt_model=tuple(getattr(transformers, name) for name in classes),
                type=record.kind,
            )


register_tasks()
