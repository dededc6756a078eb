"""VideoLanguageReader: look at few frames, answer, and look at more until the answer is certain.

Any image-text-to-text model of transformers that takes `mm_encoder_outputs`. A look adds frames
between those that are there; each frame is decoded and encoded once, and the language model reads
the prompt of all frames so far, in the order of time with their true times. So what a look says is
what the model says when it is called once on these frames, and the last look is the ordinary call.

(The other way, to append later frames behind earlier ones and to keep the language model's cache,
asks the model something that it was not trained on, frames out of order; `docs/video_language.md`
has what each costs.)
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForImageTextToText

from ...backbones.video_language import load_language_processor
from ...checks import check_in, check_threshold
from ...engine import Stage, run_alone
from ...handle import Handle
from ...source import Source
from ..policy_space import PolicySpace
from ..reader import Reader
from ..saved_reader import note_foreign_points
from ..selection.image_text import ImageText
from ..video.reading import Groups
from .answering import Answering
from .configuration_video_language import LANGUAGE_CRITERIA, VideoLanguageConfig
from .encoding import Encoder
from .every_look import EveryLook, LooksTaken, language_space
from .looking import Looking, VideoAnswer
from .plan import frames_of, looks_of, units_of
from .said import certainty_of

SETTINGS = "video_language_reader.json"
"""The reader's settings in a model's folder."""


class VideoLanguageReader(Reader, nn.Module):
    """A video-language model that halts when it is certain.

    Its source is a video with a question: `Asked(video, "What happens?")`.

    Args:
        model: of transformers, `AutoModelForImageTextToText`; used as it is.
        processor: of the model, with a `video_processor` (`load_language_processor`).
        config: settings; default: all of the frames that the processor would sample are read.
        **settings: fields of the configuration, instead.

    Raises:
        ValueError: the model takes no frames that were encoded before, or the processor no videos.
    """

    unit = "frame"
    config_class = VideoLanguageConfig

    def __init__(
        self,
        model: Any,
        processor: Any,
        config: VideoLanguageConfig | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        if getattr(processor, "video_processor", None) is None:
            raise ValueError(
                f"processor ({type(processor).__name__}) must be one of videos and texts: it has "
                "no video_processor"
            )
        self.config = VideoLanguageConfig(**settings) if config is None else config
        self.model = model
        self.processor = processor
        self._scorer: ImageText | None = None
        self.encoder = Encoder(model)
        pad = processor.tokenizer.pad_token_id
        pad = processor.tokenizer.eos_token_id if pad is None else pad
        self.answering = Answering(model, self.encoder, 0 if pad is None else int(pad))
        self.encode = Stage(self.encoder.encode, name="encode", counts_macs=True, warms_up=False)
        self.answer = Stage(self.answering.answer, name="answer", counts_macs=True, warms_up=False)

    # Loading and saving --------------------------------------------------------------------------

    @classmethod
    def from_pretrained(cls, path: str | Path, *, processor: Any = None, **options: Any) -> Any:
        """Load a model with its processor, and a reader's settings where they lie beside it.

        Args:
            path: a folder or hub id.
            processor: instead of the model's own.
            **options: of `AutoModelForImageTextToText.from_pretrained`; and fields of the settings,
                which go before those that were saved.
        """
        known = VideoLanguageConfig().to_dict().keys() & set(_FIELDS)
        settings = {name: options.pop(name) for name in known if name in options}
        hub_names = ("revision", "token", "cache_dir", "local_files_only", "trust_remote_code")
        hub = {name: options[name] for name in hub_names if name in options}
        model = AutoModelForImageTextToText.from_pretrained(
            path, **{"use_safetensors": True, **options}
        )
        if processor is None:
            processor = load_language_processor(path, **hub)
        made = cls(model.eval(), processor, **settings_of(path, settings))
        made.note_foreign_points(path)
        return made

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Save model, processor and settings to one folder; transformers opens it, too."""
        folder = Path(save_directory)
        self.model.save_pretrained(folder)
        self.processor.save_pretrained(folder)
        self.save_settings(folder)

    def save_settings(self, folder: str | Path) -> None:
        """Write the settings alone into a model's folder."""
        settings = {name: getattr(self.config, name) for name in _FIELDS}
        text = json.dumps({"model_type": self.config.model_type, **settings}, indent=2)
        temporary = Path(folder, f".{SETTINGS}.tmp")  # a file that ends early would be refused
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(Path(folder, SETTINGS))

    def note_foreign_points(self, path: str | Path) -> None:
        """Find out whether its points were measured on the weights in its folder; warn if not."""
        if self.config.operating_points and Path(path).is_dir():
            note_foreign_points(self, Path(path), file=SETTINGS)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """The model's."""
        return self.model.dtype

    @property
    def scorer(self) -> ImageText | None:
        """What matches frames with questions; loaded when it is first asked for."""
        if self.config.order != "query":
            return None
        if self._scorer is None:
            self._scorer = ImageText.from_pretrained(str(self.config.scorer))
        return self._scorer

    @property
    def pair(self) -> int:
        """Frames that the encoder merges."""
        return int(getattr(self.processor.video_processor, "temporal_patch_size", None) or 1)

    def apart(self) -> VideoLanguageReader:
        """The same model with the same settings, whose answers may be written otherwise."""
        made = VideoLanguageReader(self.model, self.processor, self.config)
        return made.train(self.training)

    # Reading -------------------------------------------------------------------------------------

    async def read(self, video: Handle) -> VideoAnswer:
        """Read a video with a question (`Asked`), look by look, until the answer is certain.

        Raises:
            ValueError: nothing was asked, or the processor does not fit the model.
            NonFiniteError: the model's scores are NaN or infinite.
        """
        reading = Looking(self, video, getattr(video.source, "question", None))
        planned = await frames_of(
            video, self.config, self.processor, self.scorer, reading.question.text
        )
        units = units_of(planned, self.pair)
        looks = looks_of(len(units), self.config, self.pair)
        video.note(num_exits=len(looks))
        groups = [list(dict.fromkeys(f for at in look for f in units[at])) for look in looks]
        async for group in Groups(video, groups):
            reading.add([units[at] for at in looks[group.number]], group)
            is_full = await reading.look()
            certainty = certainty_of(reading.said, self.config.criterion)
            video.note(exit=len(reading.said) - 1)
            video.confidences.append(reading.said[-1].confidence)
            threshold = self.config.threshold
            if group.is_last or is_full:
                break
            if threshold is not None and certainty >= threshold:
                video.note(halted_at=group.frames[-1])
                break
        return reading.answer(certainty)

    # Policy --------------------------------------------------------------------------------------

    def set_policy(self, name: str, threshold: float | None) -> None:
        """Halt by a criterion at one threshold.

        Raises:
            ValueError: the name is none of `LANGUAGE_CRITERIA`, or the threshold no number.
        """
        check_in("policy", name, LANGUAGE_CRITERIA)
        check_threshold(name, threshold)
        self.config.criterion = name
        self.config.threshold = None if threshold is None else float(threshold)

    def policy_space(self) -> PolicySpace:
        """One threshold for all looks, of the criterion that is set."""
        return language_space(self.config)

    @torch.inference_mode()
    def answers(self, sources: Iterable[Source], *, batch_size: int = 32) -> EveryLook:
        """What all looks say of videos with their questions, each read once while nothing halts.

        Raises:
            ValueError: none of them can be read.
        """
        own, self.config.threshold = self.config.threshold, None
        taken: dict[int, LooksTaken] = {}
        faults: dict[int, Exception] = {}
        try:
            for k, source in enumerate(sources):
                outcome: Any = run_alone(self.read, source)
                fault = outcome.error or outcome.fault
                if fault is not None:
                    faults[k] = fault
                    continue
                taken[k] = LooksTaken.of(outcome.value)
        finally:
            self.config.threshold = own
        return EveryLook.of(self.config, taken, faults)


_FIELDS = (
    *("num_frames", "first_frames", "growth", "order", "scorer", "max_visual_tokens"),
    *("criterion", "threshold", "repeat_threshold", "operating_points"),
)
_POLICY = ("criterion", "threshold", "operating_points")


def settings_of(path: str | Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """A reader's settings in a folder, with others that go before them.

    Points that were measured with other looks are left out, and a warning says so.

    Raises:
        ValueError: those in the folder are none.
    """
    saved = saved_settings(path)
    own = VideoLanguageConfig(**saved)
    changed = [name for name in given if name not in _POLICY and given[name] != getattr(own, name)]
    if changed and saved.get("operating_points"):
        name = changed[0]
        warnings.warn(
            f"the operating points in {Path(path, SETTINGS)} were measured with {name} "
            f"({getattr(own, name)!r}); with {given[name]!r} they promise nothing and are left "
            "out: run temporal calibrate",
            stacklevel=2,
        )
        saved |= {"operating_points": None, "threshold": None}
    return {**saved, **given}


def saved_settings(path: str | Path) -> dict[str, Any]:
    """A reader's settings in a folder; none where it has none.

    Raises:
        ValueError: they are none.
    """
    file = Path(path, SETTINGS)
    if not file.is_file():
        return {}
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        unknown = settings.keys() - {*_FIELDS, "model_type"}
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{file} must hold a reader's settings: {error}") from error
    if unknown:
        raise ValueError(f"{file} must hold fields of {list(_FIELDS)}, not {sorted(unknown)}")
    return {name: settings[name] for name in _FIELDS if name in settings}
