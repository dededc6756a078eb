"""What a frozen backbone sees of clips, computed once and kept in files: trainings start from it.

A file for each clip, named by the digest of its content, in a folder named by what the features
depend on: another reader on the same backbone finds them there, and a second training decodes
nothing. Only the frames that a reader names (`training_frames`) are decoded, each once.

S frames, n frames kept of a clip, D feature width.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ....data import VideoError
from ....data.labelled.clips import Clip
from ....data.tables.times import is_whole
from ....models.video.frame_reader import FrameReader
from ....models.video.frame_training import FrameTraining
from ....models.video.hearing import listen, sounds_at
from ....models.video.motion import known_motion
from ....models.video.motion_evidence import levels_of
from ....stage import Stage
from .reading import read_all

_ROWS = 64  # frames that one clip holds decoded at a time
_OF_NO_FEATURE = (
    *("_name_or_path", "architectures", "dtype", "id2label", "label2id", "num_labels"),
    *("operating_points", "problem_type", "transformers_version"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipFeatures:
    """What is kept of a clip."""

    num_frames: int
    keyframes: list[int]
    frames: Tensor
    """int64 `[n]`, increasing; indices in the clip."""
    features: Tensor
    """`[n, D]`."""
    glances: Tensor | None = None
    """uint8 `[n, 3, h, w]`, where the reader glances."""
    motion: Tensor | None = None
    """float32 `[n]`."""
    sounds: Tensor | None = None
    """float16 `[n, M, L]`, where the reader listens; NaN of a clip without sound."""
    clip_motion: Tensor | None = None
    """float32 `[num_frames]`: the same of all frames of the clip, if a reader wanted it."""
    clip_levels: Tensor | None = None
    """float32 `[2]`: `motion_levels` of the clip, likewise."""

    def take(self, frames: Sequence[int]) -> dict[str, Tensor]:
        """What `forward` takes of some frames, without a batch's dimension."""
        at = torch.searchsorted(self.frames, torch.tensor(list(frames)))
        taken = {"features": self.features[at]}
        if self.glances is not None:
            taken["glances"] = self.glances[at]
        if self.sounds is not None:
            taken["sounds"] = self.sounds[at]
        if self.motion is not None:
            taken["motion"] = self.motion[at]
        taken["times"] = torch.tensor(list(frames)) / self.num_frames
        return taken


_KEPT = {field.name for field in fields(ClipFeatures)}


class FeatureFiles:
    """The folder of what a reader's backbone sees of clips.

    Args:
        folder: where the folders of all readers are.
        reader: whose backbone, sizes and fields name the folder.
        shifts: views of each clip: its frames are shifted by these shares of the clip's length.
    """

    def __init__(self, folder: str | Path, reader: Any, shifts: Sequence[float] = (0.0,)) -> None:
        self.reader, self.shifts = reader, list(shifts)
        self.folder = Path(folder, _name_of(reader))
        self.frames_decoded = 0
        """What all calls of `extract` had to decode."""

    def views(
        self, count: int, keyframes: Sequence[int], clip_motion: Tensor | None = None
    ) -> list[list[int]]:
        """The frames of each view of a clip of so many frames.

        Args:
            count: frames in the clip.
            keyframes: frame indices that decode alone.
            clip_motion: see `ClipFeatures`; for readers that choose by it.
        """
        how = {}
        if self.reader.chooses_by_motion:
            assert clip_motion is not None
            how["motion"] = known_motion(clip_motion)
        plan = self.reader.training_frames(count, keyframes, **how)
        return [
            [min(max(frame + round(shift * count), 0), count - 1) for frame in plan]
            for shift in self.shifts
        ]

    def load(self, clip: Clip) -> ClipFeatures | None:
        """What is kept of a clip; None: nothing that can be read."""
        file = self._file(clip)
        if not file.is_file():
            return None
        try:
            with safe_open(file, framework="pt") as opened:
                told = json.loads(opened.metadata()["clip"])
                names = _KEPT & {*opened.keys()}  # another version may keep more
                tensors = {name: opened.get_tensor(name) for name in names}
        except Exception:  # half written by a process that was killed, or damaged: made anew
            return None
        return ClipFeatures(**told, **tensors)

    def __getitem__(self, clip: Clip) -> ClipFeatures:
        found = self.load(clip)
        if found is None:
            raise KeyError(f"{clip.path} has no features in {self.folder}: extract them again")
        return found

    @torch.inference_mode()
    def extract(self, clips: Iterable[Clip]) -> dict[int, Exception]:
        """See to it that the files have all views of all clips; decodes what they lack.

        Videos are had one after another, in the order of the clips: a stream is gone through once.

        Returns:
            Why clips could not be read, by their numbers.
        """
        reader = self.reader
        begun: dict[int, tuple[Clip, ClipFeatures | None]] = {}
        stage = Stage(reader.training_features, name="training_features")

        def lacks(number: int, clip: Clip) -> bool:
            try:
                known = self.load(clip)
            except (OSError, VideoError):  # the reading will say why
                known = None
            if known is not None and self._has_motion(known) and not self._lacking(known):
                return False
            begun[number] = clip, known
            return True

        async def read(video: Any, number: int) -> ClipFeatures:
            clip, known = begun[number]
            await video.open()
            keys = video.index.keyframes.tolist()
            moves = torch.from_numpy(np.asarray(await video.motion()).astype(np.float32))
            views = self.views(len(video), keys, moves)
            clip_motion, levels = None, None
            if self._wants_motion:
                clip_motion = moves
                levels = torch.tensor(levels_of(video.index))
            wanted = sorted({f for view in views for f in view})
            new = wanted if known is None else sorted({*wanted} - {*known.frames.tolist()})
            if known is not None and not new:  # all it lacked is how much frames move
                return replace(known, clip_motion=clip_motion, clip_levels=levels)
            parts, glances, sounds = [], None, None
            if reader.sound_size is not None:
                times = video.index.timestamps_seconds[new]
                sounds = sounds_at(await listen(video), times, reader.sound_size)
            if reader.glance_size is not None:
                glances = (await video.glance(new, size=reader.glance_size)).clone()
            for start in range(0, len(new), _ROWS):
                pixels = await video.read(new[start : start + _ROWS], size=reader.frame_size)
                parts.append((await stage(pixels)).cpu())
            made = ClipFeatures(
                num_frames=len(video),
                keyframes=keys,
                frames=torch.tensor(new),
                features=torch.cat(parts).clone(),
                glances=glances,
                sounds=sounds,
                motion=moves[new],
                clip_motion=clip_motion,
                clip_levels=levels,
            )
            return made if known is None else _joined(known, made)

        faults: dict[int, Exception] = {}
        for number, outcome in read_all(read, clips, lacks, max_batch_size=32):
            clip = begun.pop(number)[0]
            if isinstance(outcome, Exception):
                faults[number] = outcome
                continue
            if outcome.trace is not None:
                cost = outcome.trace.cost
                self.frames_decoded += cost.frames_decoded + cost.frames_glanced
            if outcome.error is not None:
                faults[number] = outcome.error
            else:
                self._save(clip, outcome.value)
        return faults

    def _lacking(self, known: ClipFeatures) -> list[int]:
        """Frames of a clip that are wanted and not kept."""
        views = self.views(known.num_frames, known.keyframes, known.clip_motion)
        return sorted({f for view in views for f in view} - set(known.frames.tolist()))

    def _has_motion(self, known: ClipFeatures) -> bool:
        """Whether it is known how much the frames of a clip move, if that matters."""
        has = known.clip_motion is not None and known.clip_levels is not None
        return has or not self._wants_motion

    @property
    def _wants_motion(self) -> bool:
        return bool(self.reader.chooses_by_motion or self.reader.sees_profile)

    def _file(self, clip: Clip) -> Path:
        name = f"{clip.file_digest:016x}"
        if not is_whole(clip.part):
            start, end = clip.part
            name += f"-t{start or 0.0}-{'end' if end is None else end}"
        return self.folder / name[:2] / f"{name}.safetensors"

    def _save(self, clip: Clip, made: ClipFeatures) -> None:
        file = self._file(clip)
        file.parent.mkdir(parents=True, exist_ok=True)
        named = {
            "frames": made.frames,
            "features": made.features,
            "glances": made.glances,
            "sounds": made.sounds,
            "motion": made.motion,
            "clip_motion": made.clip_motion,
            "clip_levels": made.clip_levels,
        }
        tensors = {name: t.contiguous() for name, t in named.items() if t is not None}
        told = json.dumps({"num_frames": made.num_frames, "keyframes": made.keyframes})
        part = file.with_suffix(f".{os.getpid()}.part")
        save_file(tensors, part, metadata={"clip": told})
        part.replace(file)  # whole, or not there


def _joined(known: ClipFeatures, made: ClipFeatures) -> ClipFeatures:
    """Both, in the order of the frames."""
    frames, order = torch.cat([known.frames, made.frames]).sort()
    both = {
        name: torch.cat([getattr(known, name), getattr(made, name)])[order]
        for name in ("features", "glances", "sounds", "motion")
        if getattr(made, name) is not None
    }
    return ClipFeatures(
        num_frames=known.num_frames,
        keyframes=known.keyframes,
        frames=frames,
        clip_motion=known.clip_motion if made.clip_motion is None else made.clip_motion,
        clip_levels=known.clip_levels if made.clip_levels is None else made.clip_levels,
        **both,
    )


def _name_of(reader: Any) -> str:
    """What its features depend on, as a folder's name."""
    kind, config = type(reader), reader.config.to_dict()
    own = kind.training_features is not FrameReader.training_features
    told = kind.feature_fields is not FrameTraining.feature_fields
    names = list(kind.feature_fields)
    if own and not told:  # it did not say what they depend on
        passing = {*_OF_NO_FEATURE, *kind.config_class.policy_fields}
        names = sorted(config.keys() - passing)
    fields: dict[str, Any] = {name: config.get(name) for name in names}
    fields |= {"glance_size": reader.glance_size, "backbone": config.get("backbone")}
    if reader.sound_size is not None:
        fields["sound_size"] = reader.sound_size
    if own:
        fields["reader"] = kind.__name__
    digest = hashlib.blake2b(json.dumps(fields, sort_keys=True, default=str).encode())
    state = reader.backbone.state_dict() if not own else _frozen_state(reader)
    for name, tensor in sorted(state.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _frozen_state(reader: Any) -> dict[str, Tensor]:
    """What may be behind a reader's own `training_features`: all that is not trained."""
    trained = {name for name, weight in reader.named_parameters() if weight.requires_grad}
    return {name: t for name, t in reader.state_dict().items() if name not in trained}
