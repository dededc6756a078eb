"""What readers share that look at every frame, small, and read few of them.

Such a reader glances at a frame. From what the glance says `[n, M]`, the frame's share of the
video's length `[n]` and the state it decides whether to read the frame. One that is worth it is
read, any other is skimmed or passed over, and then the state answers. `LookingReader` has both
faces of that loop, `forward` and `read`; a reader has the parts:

- `first_looks(num_rows)`: the state before the first frame;
- `_decide(said_nM, shares_n, *state)`: logits of reading and of skimming `[n, 2]`, then the state;
- `_read(features_nD, shares_n, said_nM, *state)` and `_skim(said_nM, *state)`: the state after it;
- `_answer(*state)`: logits `[n, K]`;
- `_cost(decided_BS2, reads_BS)`: what the decisions and the reading add to the loss, a scalar.

The configuration is a `LookConfig`.

B videos, S frames, M width of a glance, D feature width, K classes, n rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...backbones.glance import GlanceNet, RowGlanceNet, glance_net
from ...checks import check_count, check_range
from ...handle import Handle
from ...kernels import State
from ...policies.skip import hard_decision, read_weight
from ...stage import Stage
from ..exit_reader import ExitsOutput
from ..policy_space import PolicySpace
from ..recurrent.readers import READ_LEVELS
from ..video.configuration import FrameConfig
from ..video.reading import MAX_FAULTS, one_frame
from .recurrent_frames import RecurrentFrames, RecurrentFramesConfig, check_times


class ReadThresholdConfig(RecurrentFramesConfig):
    """Backbone, state and threshold of a reader that reads the frames that are worth it."""

    policy_fields = (*FrameConfig.policy_fields, "read_threshold")

    num_frames: int = 16
    """S: frames, evenly over a video, that may be read."""
    read_threshold: float = 0.5
    """Lower reads more. May be changed after training. At 0 every frame is read."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_range("read_threshold", self.read_threshold, 0.0, 1.0)


class LookConfig(ReadThresholdConfig):
    """Backbone, glances, state and threshold of a reader that looks at every frame."""

    glance_pixels: int = 64
    """Height and width of a glance; of one at features, how many of a row's numbers it sees."""
    glance_features: int = 64
    """M, the width of what a glance says."""
    temperature: float = 1.0
    """Of the Gumbel-softmax in training."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_count("glance_pixels", self.glance_pixels, 1)
        check_count("glance_features", self.glance_features, 1)


@dataclass
class ReadsOutput(ExitsOutput):
    """What `forward` returns of a reader that reads the frames that are worth it."""

    units_read: Tensor | None = None
    """Frames read, `[B]`; expected in training."""
    reads: Tensor | None = None
    """How far each was read, `[B, S]`; 0 or 1 in evaluation."""


class ReadThreshold(RecurrentFrames):
    """Mixed into a reader whose configuration has a `read_threshold`, which is calibrated."""

    def policy_space(self) -> PolicySpace:
        """The threshold of reading."""
        return PolicySpace.of_field("read_threshold", READ_LEVELS)

    def answers(self, sources: Any, *, batch_size: int = 32) -> Any:
        """None: what is read under another threshold cannot be told from one reading."""
        return None

    def set_policy(self, name: str, threshold: float | None) -> None:
        """Set `read_threshold`: `set_policy("read", 0.6)`; or a criterion, as of `Reader`.

        Raises:
            ValueError: the name is neither, or the threshold is out of range.
        """
        if name != "read":
            super().set_policy(name, threshold)
            return
        if threshold is None:
            raise ValueError("policy 'read' needs a threshold in [0, 1], e.g. 'read:0.6'")
        check_range("threshold", threshold, 0.0, 1.0)
        self.config.read_threshold = threshold  # type: ignore[attr-defined]

    def frames_seen(self, output: Any, num_frames: int) -> Tensor:
        """As of `FrameTraining`: all, if it glances; else those that it reads."""
        reads_BS: Tensor = output.reads > 0.5
        return torch.ones_like(reads_BS) if self.glances_at_all else reads_BS

    @staticmethod
    def mixed(skipped: Sequence[Tensor], read: Sequence[Tensor], reads_B: Tensor) -> State:
        """The state after a frame that was read so far: 0 is skipped, 1 read."""
        return tuple(
            torch.lerp(old, new, reads_B[:, None].to(new))
            for old, new in zip(skipped, read, strict=True)
        )

    def reads_output(
        self,
        exits: Sequence[Tensor],
        reads_BS: Tensor,
        cost: Tensor,
        labels: Tensor | None,
        class_weights: Tensor | None,
    ) -> ReadsOutput:
        """The output of a `forward`.

        Half of the answers' loss is the last one's, which is what the papers train, and half the
        mean of all, by which the others may halt.

        Args:
            exits: logits `[B, K]` after each frame.
            reads_BS: how far each frame was read.
            cost: what reading adds to the loss, a scalar.
            labels, class_weights: as of `forward`.
        """
        loss = None
        if labels is not None:
            last, every = (self.exits_loss(e, labels, class_weights) for e in (exits[-1:], exits))
            loss = (last + every) / 2 + cost
        return ReadsOutput(
            loss=loss,
            logits=exits[-1],
            exit_logits=torch.stack(list(exits), 1),
            units_read=reads_BS.detach().sum(1),
            reads=reads_BS.detach(),
        )


class LookingReader(ReadThreshold):
    """Mixed into a reader that looks at every frame; see the head of this file."""

    glance_net: GlanceNet | RowGlanceNet
    look: Stage
    read_stage: Stage
    skim_stage: Stage
    answer: Stage

    @property
    def glance_size(self) -> tuple[int, int]:  # type: ignore[override]  # it glances
        """(height, width) of a glance."""
        return self.glance_box(self.config.glance_pixels)  # type: ignore[attr-defined]

    @property
    def trains_on_hard_decisions(self) -> bool:
        """Whether training takes them, with the soft ones' gradients, or mixtures."""
        return True

    def make_looks(self) -> None:
        """Make `glance_net` and the stages `look`, `read_stage`, `skim_stage` and `answer`."""
        model: Any = self
        model.glance_net = glance_net(model.config, model.config.glance_features)
        model.look = Stage(model._look, name="look")
        model.read_stage = Stage(model._read, name="read")
        model.skim_stage = Stage(model._skim, name="skim")
        model.answer = Stage(model._answer, name="answer")

    def _look(self, glances_nChw: Tensor, shares_n: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Look at a frame: what the glance says `[n, M]`, whether to read `[n]`, and the state."""
        model: Any = self
        said_nM = model.glance_net(glances_nChw).relu()
        logits_n2, *state_after = model._decide(said_nM, shares_n, *state)
        return said_nM, hard_decision(logits_n2, model.config.read_threshold), *state_after

    def forward(
        self,
        pixel_values: Tensor | None = None,
        glances: Tensor | None = None,
        times: Tensor | None = None,
        features: Tensor | None = None,
        labels: Tensor | None = None,
        class_weights: Tensor | None = None,
    ) -> ReadsOutput:
        """Look at all frames, read those that are worth it, and answer after each.

        In training both are computed of each frame, and a Gumbel-softmax sample says how far the
        state is that of the one or the other.

        Args:
            pixel_values: `[B, S, 3, H, W]` in the order of time, 0 to 255; or
            glances: `[B, S, 3, h, w]`, the same frames at `glance_size`, 0 to 255.
            times: `[B, S]`, where they are, as shares of the video's length.
            features: `[B, S, D]`, what `training_features` made of them before.
            labels: int64 `[B]`; or float `[B, K]`, see `answer_losses`.
            class_weights: `[K]`, for unbalanced classes.
        """
        model: Any = self
        features_BSD = self.sequence_features(pixel_values, features)
        times_BS = check_times(times)
        glances_BSChw = check_glances(glances)
        said_NM = model.glance_net(glances_BSChw.flatten(0, 1)).relu()
        said_BSM = said_NM.unflatten(0, glances_BSChw.shape[:2])
        state = model.first_looks(len(features_BSD))
        exits, reads, decided = [], [], []
        steps = zip(features_BSD.unbind(1), said_BSM.unbind(1), times_BS.unbind(1), strict=True)
        for features_BD, said_BM, shares_B in steps:
            logits_B2, *state = model._decide(said_BM, shares_B, *state)
            reads_B = read_weight(
                logits_B2,
                model.config.read_threshold,
                sampled=model.training,
                temperature=model.config.temperature,
                straight_through=self.trains_on_hard_decisions,
            )
            read = model._read(features_BD, shares_B, said_BM, *state)
            state = self.mixed(model._skim(said_BM, *state), read, reads_B)
            exits.append(model._answer(*state))
            reads.append(reads_B)
            decided.append(logits_B2)
        reads_BS = torch.stack(reads, 1)
        cost = model._cost(torch.stack(decided, 1), reads_BS)
        return self.reads_output(exits, reads_BS, cost, labels, class_weights)

    async def read(self, video: Handle) -> Tensor:
        """Look at the frames of one video, and read those that are worth it. Returns `[K]`."""
        model: Any = self
        count = await video.open()
        frames = self.training_frames(count, video.index.keyframes)
        video.note(num_exits=len(frames))
        glance = partial(video.glance, size=self.glance_size)
        read = partial(video.read, size=self.frame_size)
        state = model.first_looks(1)
        halted = False
        for frame in frames:
            small = await one_frame(video, frame, glance)
            if small is None:
                if len(video.faults) < MAX_FAULTS:
                    continue
                break
            share_1 = torch.tensor([frame / count], device=model.device)
            said_1M, reads_1, *state = await model.look(small, share_1, *state)
            pixels = await one_frame(video, frame, read) if bool(reads_1) else None
            if pixels is not None:
                features_1D = await model.features(pixels)
                state = await model.read_stage(features_1D, share_1, said_1M, *state)
            else:
                state = await model.skim_stage(said_1M, *state)
            logits_1K = await model.answer(*state)
            is_last = frame == frames[-1] or len(video.faults) >= MAX_FAULTS
            halted = self.halts(video, logits_1K, at=frame, is_last=is_last)
            if halted or is_last:
                break
        if not video.said:
            raise video.faults[0]
        if not halted:  # frames that could not be seen have no exits
            video.note(num_exits=len(video.said))
        return video.said[-1][0]

    def dense_macs(self, units_total: int) -> int | None:
        """MACs of looking at all frames and reading them."""
        model: Any = self
        frames = min(units_total, model.config.num_frames)
        stages = (model.look, model.features, model.read_stage, model.answer)
        return self.macs_of([(stage, frames) for stage in stages])


def check_glances(glances: Tensor | None) -> Tensor:
    """Raise ValueError unless there are glances."""
    if glances is None:
        raise ValueError("glances ([B, S, 3, h, w], the frames at glance_size) are needed")
    return glances
