"""Read any video classifier adaptively, without training: clip by clip, until it is certain.

The answer is the running mean of the classifier's probabilities; reading halts when that mean is
certain or the share of clips that may be read is spent. As a whole, without clips to choose from,
it is the transformers pipeline: the frames that this takes, and its scores. `ChunkReader` does the
same with chunks of a text, and FrameExit's training-free form with single frames.

B videos, F frames of a clip, A answers so far, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForVideoClassification, PreTrainedModel

from ...backbones.image import describe
from ...backbones.inside import made_inside
from ...backbones.pixels import ProcessorPixels
from ...backbones.processors import describe_processor
from ...checks import check_finite, check_range, check_threshold, chooses_one_class, num_classes
from ...handle import Handle
from ...policies import read as read_policies
from ...policies.halt import criterion
from ...source import Source
from ...stage import Stage
from ..chunks.chunk_pooling import MeanPooling
from ..every_exit import EveryExit
from ..exit_reader import ExitsOutput, exits_output
from ..halting import certainty_reached, confidences, set_criterion
from ..policy_space import PolicySpace
from ..saved_reader import SavedReader
from ..video.dense_videos import ask_videos
from ..video.reading import Groups
from .clip_knobs import clip_space, token_knobs
from .clip_places import ClipPlaces
from .clip_training import ClipTraining
from .configuration_clip_reader import ClipReaderConfig
from .reduced_clips import ReducedClips


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningMeanPolicy:
    """When a `ClipReader` stops: what its configuration says, with one threshold for all clips."""

    criterion: str = "confidence"
    """One of `temporal.policies.halt.CRITERIA`, asked of the running mean."""
    threshold: float | None = None
    """Certainty at which it halts; None: only the budget stops it."""
    budget: float = 1.0
    """Share of the clips that may be read, at least one."""

    def __post_init__(self) -> None:
        criterion(self.criterion)
        check_threshold(self.criterion, self.threshold)
        check_range("budget", self.budget, 0.0, 1.0)


ClipReaderOutput = ExitsOutput
"""What `ClipReader.forward` returns, with an exit after each clip."""


class ClipReader(ClipPlaces, ClipTraining, SavedReader, PreTrainedModel):
    """A video classifier (VideoMAE, ViViT, TimeSformer, V-JEPA 2 ...) read clip by clip.

    `ClipReader.from_classifier(classifier, num_clips=4)` needs no training.

    Args:
        config: see `ClipReaderConfig`; or a classifier as for `from_classifier`, with its options.
        classifier: used as it is; default: a new one.
        processor: what came with the classifier's checkpoint, see `ProcessorPixels`.
        **options: of `from_classifier`.
    """

    config_class = ClipReaderConfig
    base_model_prefix = "clip_reader"
    main_input_name = "pixel_values"
    unit = "frame"
    wraps_classifier = True
    sampling_fields = {"frame_sampling_rate": "sampling_rate", "num_frames": "num_frames"}
    one_label_function = "softmax"

    def __init__(
        self,
        config: Any,
        classifier: nn.Module | None = None,
        processor: Any = None,
        **options: Any,
    ) -> None:
        if not isinstance(config, ClipReaderConfig):
            kind = self.config_class
            config, classifier = _described(kind, config, processor, options), config
        super().__init__(config)
        if classifier is None:
            own = config.classifier_config()
            self.classifier: Any = made_inside(AutoModelForVideoClassification, own)
        else:
            for module in classifier.modules():
                module._is_hf_initialized = True  # type: ignore[assignment]  # keep its weights
            self.classifier = classifier.eval()
        processor = processor or config.processor
        self.pixels = None
        if processor is not None:
            self.pixels = ProcessorPixels(processor, self.classifier, clips=True)
        self.reduced = None if config.token_reduction is None else ReducedClips(self.classifier)
        one_answer = chooses_one_class(config)
        self.mean = MeanPooling(num_classes(config), one_answer=one_answer)
        self.prepare = Stage(self._prepare, name="pixels")
        if self.reduced is None:
            self.classify = Stage(self._classify, name="classify")
        else:  # clips differ in their tokens
            self.classify = Stage(self._classify_reduced, name="classify", counts_macs=True)
        self.post_init()
        self.eval()

    @classmethod
    def from_classifier(
        cls, classifier: PreTrainedModel, processor: Any = None, **config: Any
    ) -> ClipReader:
        """Read a video classifier, which becomes a part of the reader and is not copied.

        Args:
            classifier: any `AutoModelForVideoClassification`.
            processor: the processor that came with it, which then sees whole frames.
            **config: fields of `ClipReaderConfig`, e.g. `num_clips=4`.
        """
        kind = cls.config_class
        return cls(_described(kind, classifier, processor, config), classifier, processor)

    def _init_weights(self, module: nn.Module) -> None:
        self.classifier._init_weights(module)  # all parts are its own

    def _prepare(self, frames_BFCHW: Tensor) -> tuple[Tensor, ...]:
        assert self.pixels is not None
        clips = [self.pixels(frames_FCHW) for frames_FCHW in frames_BFCHW]
        return tuple(torch.cat(column) for column in zip(*clips, strict=True))

    def _classify(self, *inputs: Tensor) -> Tensor:
        if self.reduced is not None:
            return self._classify_reduced(*inputs)[0]
        if self.pixels is not None:
            logits = self.pixels.call(self.classifier, inputs)
        else:
            logits = self.classifier(self._normalised(inputs[0]), return_dict=True).logits
        return logits.flatten(1)  # VideoPrism's are [B, 1, K]

    def _classify_reduced(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, the tokens that layers computed, and the MACs of clips with fewer tokens."""
        assert self.reduced is not None
        return self.reduced(self._pixels_of(*inputs), **token_knobs(self.config))

    def _pixels_of(self, *inputs: Tensor) -> Tensor:
        """Clips `[B, F, C, H, W]` as the classifier takes them."""
        if self.pixels is None:
            return self._normalised(inputs[0])
        return inputs[0].to(self.classifier.device, self.classifier.dtype)

    def _normalised(self, frames_BFCHW: Tensor) -> Tensor:
        frames_BFCHW = frames_BFCHW.to(self.classifier.device, self.classifier.dtype)
        mean_C11 = frames_BFCHW.new_tensor(self.config.pixel_mean)[:, None, None]
        std_C11 = frames_BFCHW.new_tensor(self.config.pixel_std)[:, None, None]
        return (frames_BFCHW - mean_C11) / std_C11

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        class_weights: Tensor | None = None,
    ) -> ExitsOutput:
        """Answer after every clip (training, and the dense reference for `read`).

        Args:
            pixel_values: `[B, A, F, 3, H, W]`, clips in reading order, 0 to 255, any dtype; or
                `[B, A F, 3, H, W]`.
            labels: int64 `[B]`; or float `[B, K]`, see `answer_losses`.
            class_weights: `[K]`, for unbalanced classes.
        """
        if pixel_values.dim() == 5:
            pixel_values = pixel_values.unflatten(1, (-1, self.config.num_frames))
        state, answers = None, []
        for frames_BFCHW in pixel_values.unbind(1):
            inputs = (frames_BFCHW,) if self.pixels is None else self._prepare(frames_BFCHW)
            logits_BK = self._classify(*inputs).float()
            state, answer_BK = self._vote(state, logits_BK)
            answers.append(answer_BK)
        output = exits_output(answers)
        if labels is not None:
            losses = [self.answer_losses(logits_BK, labels, class_weights) for logits_BK in answers]
            output.loss = torch.stack(losses).mean()
        return output

    def _vote(self, state: Tensor | None, logits_BK: Tensor) -> tuple[Tensor, Tensor]:
        """The running mean with one more clip: its state, and the answer `[B, K]`."""
        if state is None:
            state = self.mean.start(None, len(logits_BK)).to(logits_BK.device)
        return self.mean.vote(state, logits_BK)

    # What may be turned --------------------------------------------------------------------------

    @property
    def plain_classifier(self) -> Any:
        """As of `Reader`: the video classifier."""
        return self.classifier

    @property
    def policy(self) -> RunningMeanPolicy:
        """When it stops."""
        config = self.config
        level = config.thresholds[0] if config.thresholds else None
        return RunningMeanPolicy(
            criterion=config.criterion, threshold=level, budget=config.max_share
        )

    def set_budget(self, budget: float) -> dict[str, Any] | None:
        """As `Reader.set_budget`; an uncalibrated reader reads that share of the clips."""
        if self.config.operating_points:
            return super().set_budget(budget)
        check_range("budget", budget, 0.0, 1.0)
        self.config.max_share = budget
        return None

    def set_policy(self, name: str, threshold: float | None) -> None:
        """Halt when the running mean reaches the criterion's threshold."""
        set_criterion(self.config, name, threshold)

    def policy_space(self) -> PolicySpace:
        """Fewer tokens, where there is a way to that; then one threshold for all clips."""
        return clip_space(self.config)

    @torch.inference_mode()
    def answers(self, sources: Iterable[Source], *, batch_size: int = 32) -> EveryExit | None:
        """The running mean after every clip of videos, one after another; all cost alike.

        None with `token_reduction`: what a clip says and costs then depends on the policy.
        """
        if self.reduced is not None:
            return None
        return ask_videos(self, sources, self._gather)

    async def _gather(self, video: Handle) -> dict[str, Tensor]:
        clips = [frames for _, frames in await self.clips_of(video)]
        pixels = [group.filled() async for group in Groups(video, clips, size=self._size())]
        return {"pixel_values": torch.stack(pixels)[None]}

    def dense_macs(self, units_total: int) -> int | None:
        """MACs of reading all clips."""
        per_clip: float | None = self.classify.macs_per_row
        if self.reduced is not None:
            per_clip = self.reduced.dense_macs
        if per_clip is None:
            return None
        return round(per_clip * min(units_total, self.config.num_exits))

    # Inference -----------------------------------------------------------------------------------

    async def read(self, video: Handle) -> Tensor:
        """Read clips of one video in their order. Returns logits `[K]`.

        A frame that cannot be read is seen as the nearest one of its clip, and reported.
        """
        clips = await self.clips_of(video)
        allowed = clips[: read_policies.num_allowed(len(clips), self.config.max_share)]
        halted = len(allowed) < len(clips)
        past: list[Tensor] = []
        state, token_layers = None, 0
        async for group in Groups(video, [frames for _, frames in allowed], size=self._size()):
            logits_1K, computed = await self._ask(group.filled())
            logits_1K, token_layers = check_finite(logits_1K.float()), token_layers + computed
            state, answer_1K = self._vote(state, logits_1K)
            past.append(answer_1K)
            centre = clips[group.number][0]
            if not group.is_last and bool(certainty_reached(self.config, torch.stack(past))):
                halted = True
                break
        if halted:
            video.note(halted_at=centre)
        video.confidences += confidences(self.config, past)
        video.note(exit=len(past) - 1, num_exits=len(clips))
        if self.reduced is not None:
            video.note(token_layers=token_layers)
        return past[-1][0]

    def _size(self) -> tuple[int, int] | None:
        """(height, width) at which frames are read; None: whole, for the processor."""
        return self.config.frame_size if self.pixels is None else None

    async def _ask(self, frames_FCHW: Tensor) -> tuple[Tensor, int]:
        """The classifier's logits `[1, K]` for a clip, and the tokens that its layers computed."""
        inputs: tuple[Tensor, ...] = (frames_FCHW[None],)
        if self.pixels is not None:
            inputs = await self.prepare(*inputs)
        if self.reduced is None:
            return await self.classify(*inputs), 0
        logits_1K, token_layers_1 = await self.classify(*inputs)
        return logits_1K, int(token_layers_1)


def _described(
    kind: Any, classifier: Any, processor: Any, options: dict[str, Any]
) -> ClipReaderConfig:
    """The configuration of a reader around a classifier."""
    own = classifier.config
    named = ("id2label", "label2id") if own.id2label else ("num_labels",)
    fields = {name: getattr(own, name) for name in (*named, "problem_type")}
    if processor is not None:
        fields["processor"] = describe_processor(processor)
    for name in ("pixel_mean", "pixel_std"):
        if options.get(name) is not None:
            options = {**options, name: list(options[name])}
    return kind(classifier=describe(classifier), **fields | options)
