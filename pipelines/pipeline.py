"""`pipeline()`: from a task and a model to a pipeline.

What a pipeline is made of is imported when one is made: that takes seconds, and it is not all used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from temporal.lazy import exports

if TYPE_CHECKING:
    from .auditing.audit import Audit
    from .base import OnError as OnError
    from .base import Order as Order
    from .base import Pipeline as Pipeline
    from .loading.loaded_model import LoadedModel
    from .reading import ReadingFailed as ReadingFailed
    from .tasks.names import TASKS as TASKS

# Names that this module had before it became the entry.
_MOVED = dict.fromkeys(("OnError", "Order", "Pipeline"), ".base")
_MOVED |= {"ReadingFailed": ".reading", "TASKS": ".tasks.names"}
__getattr__ = exports(__name__, _MOVED)


def pipeline(
    task: str | None = None,
    model: Any = None,
    *,
    budget: float | None = None,
    max_drop: float | None = None,
    policy: str | None = None,
    device: Any = None,
    batch_size: int | None = None,
    audit: float | Audit | None = None,
    max_disagreement: float | None = None,
    **options: Any,
) -> Pipeline:
    """Make a pipeline that reads inputs adaptively.

    Args:
        task: `"video-classification"` or `"text-classification"` (also `"sentiment-analysis"`), or
            another one of `temporal.pipelines.tasks.registry`; None: what the model is for.
        model: None (the bundled default), a path or a hub id, or a loaded model: one of
            `temporal.models`, or any classifier of transformers for texts, videos or images (read
            frame by frame), which needs no training to be read adaptively.
        budget: share of the full cost that may be spent, 0 to 1. A calibrated reader runs at the
            operating point that spends most of it; an ordinary classifier is shown that share of
            a source's pieces. None: the reader's own policy; an ordinary classifier reads all.
        max_drop: instead of a budget: accuracy that may be lost against reading everything, 0 to 1.
            A calibrated reader runs at its cheapest operating point that is certified for it; the
            full reading is certified for any. `.operating_point` says which one it is.
        policy: `"criterion:threshold"`, e.g. `"confidence:0.95"` or `"patience:3"`, instead of the
            reader's own. Criteria are in `temporal.policies.halt.CRITERIA`. Beside a budget, only
            for readers that are not calibrated: those keep both.
        device: as in transformers; default: an accelerator where there is one.
        batch_size: rows that a stage computes at once.
        audit: share of the inputs, 0 to 1, that is read in full as well once its answer is given.
            `.audit` then says how many answers differ from the full reading's, with bounds that
            hold at any time, and whether inputs are unlike those of the calibration. 0: only the
            latter, and nothing is read twice. Or an `Audit` of `temporal.pipelines.auditing.audit`.
        max_disagreement: share of answers that may differ, in [0, 1). Once the audit's lower bound
            has passed it, a warning says so, and everything is read in full from there on
            (`Reading.read_in_full`).
        **options: of the task; see `TextClassificationPipeline` and `VideoClassificationPipeline`.
            `token_reduction="merge"` (or `"merge:0.7"`, the share that is left) and `"run_length"`
            let a video transformer compute fewer tokens of each clip, without training.
            `sampling="motion"` reads a classifier's frames or clips where the video moves, told
            from packets; or one of `temporal.policies.read.ORDERS`.
            And those of `transformers.pipeline` about the model: `tokenizer`, `config`, `dtype`
            (default: float32, or what a saved reader was calibrated in) or `torch_dtype`,
            `device_map`, `model_kwargs`, `token`, `revision`, `trust_remote_code`, and processors
            of images or videos. `num_workers`, `framework`, `use_fast`, `modelcard` and
            `binary_output` are accepted, and of no effect.

    Tasks and readers of other packages are known by their plugins (`temporal.pipelines.plugins`).

    Returns:
        A `TextClassificationPipeline`, a `VideoClassificationPipeline`, or the task's own class.

    Raises:
        ValueError: an argument is out of its range or the model does not fit the task.
        TypeError: there is no such option.
        OSError: no model is found at this path or id.

    Example:
        >>> pipe = pipeline("text-classification")
        >>> pipe("A film that earns every tear.")
        [{'label': 'positive', 'score': 0.98...}]
    """
    from .base import Pipeline
    from .loading.dtypes import warn_of_dtype
    from .loading.load import load_model, loading_options
    from .loading.model_options import check_names, take_model_options
    from .plugins import load_plugins
    from .tasks.image_processors import PROCESSOR_OPTIONS
    from .tasks.names import find_task
    from .tasks.registry import RECORDS

    load_plugins()
    how = take_model_options(options)
    task = find_task(task, model, how)
    if device is not None and how.device_map is not None:
        raise ValueError(f"device ({device!r}) and device_map ({how.device_map!r}): give one")
    _check_choice(budget, max_drop, policy, batch_size)
    kind = RECORDS[task].find("pipeline")
    # As in transformers, texts may come with a processor, and videos with a tokenizer.
    loading_names = {"tokenizer", "chunk_size", *PROCESSOR_OPTIONS}
    loading_names |= set(loading_options(RECORDS[task]))
    loading = {name: options.pop(name) for name in loading_names if name in options}
    classes = [one for one in kind.__mro__ if issubclass(one, Pipeline)]
    check_names(task, classes, options)
    loaded = load_model(
        task, model, needs_pieces=bool(policy) or budget is not None, options=how, **loading
    )
    watch = None
    if audit is not None or max_disagreement is not None:
        from .auditing.watched import audit_of, watched

        watch = audit_of(audit, max_disagreement)
    whole = loaded
    loaded, point = _with_choice(loaded, budget, max_drop, policy)
    pipe = kind(loaded, device=device, batch_size=batch_size, **options)
    pipe.operating_point = point
    if watch is not None:
        watched(pipe, whole, watch, lambda one: kind(one, device=device, **options))
    if policy is None:
        warn_of_dtype(pipe.model, pipe.device)
    return pipe


def _check_choice(
    budget: float | None, max_drop: float | None, policy: str | None, batch_size: int | None
) -> None:
    """Refuse what says how much is read and cannot be, before seconds go into loading a model."""
    from temporal.checks import check_count

    if budget is not None and not 0 <= budget <= 1:
        raise ValueError(f"budget ({budget}) must be between 0 and 1: a share of the full cost")
    if max_drop is not None and (budget is not None or policy is not None):
        raise ValueError(
            f"max_drop ({max_drop}) chooses the policy and its cost: give no budget and no policy"
        )
    if batch_size is not None:
        check_count("batch_size", batch_size, 1)


def _with_choice(
    loaded: LoadedModel, budget: float | None, max_drop: float | None, policy: str | None
) -> tuple[LoadedModel, Any]:
    """A model that reads as it was asked to, and the operating point that it was set to, if any."""
    from .loading.load import with_own_policy

    if (policy, budget, max_drop) == (None, None, None):
        return loaded, None
    loaded, point = with_own_policy(loaded), None  # the caller's model keeps its own
    if policy is not None:
        name, _, threshold = policy.partition(":")
        loaded.reader.set_policy(name, _number(policy, threshold) if threshold else None)
    if budget is not None:
        point = loaded.reader.set_budget(budget)
        if point is not None and policy is not None:
            raise ValueError(
                f"budget ({budget}) chooses the policy of a calibrated reader: give no policy "
                f"({policy!r}), or no budget"
            )
    if max_drop is not None:
        point = loaded.reader.set_max_drop(max_drop)
    return loaded, point


def _number(policy: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(
            f"policy ({policy!r}) must be 'criterion' or 'criterion:threshold' with a number"
        ) from None
