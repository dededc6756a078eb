"""The sound of a container chooses frames; a video without sound is glanced at, and says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import ViTConfig

from temporal.data import Video
from temporal.engine import Engine
from temporal.models import ListenToLook, ListenToLookConfig
from temporal.models.video.hearing import sounds_at

from ....data.decode.sounding import sine, write_sounding
from ..video.video_readers import SIDE, SIZES, video_reader

OPTIONS = {"glance_features": 8, "glance_pixels": SIDE, "num_mels": 16, "num_steps": 20}


def reader(**config: Any) -> ListenToLook:
    made: ListenToLook = video_reader("listen_to_look")
    if not config:
        return made
    torch.manual_seed(3)
    return ListenToLook(ListenToLookConfig(**{**SIZES, **OPTIONS, **config})).eval()


def beep(at: float) -> Any:
    """A tone of a fifth of a second around a moment, and silence."""

    def wave(times: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(np.abs(times - at) < 0.1, sine(1500)(times), 0.0)

    return wave


def loud(path: Path, at: float = 1.0, seed: int = 0) -> Path:
    """Twenty frames in two seconds, each decoded alone, with a beep."""
    return write_sounding(path, beep(at), codec="pcm_s16le", rate=16_000, seed=seed)


def test_a_video_with_sound_is_heard_and_no_frame_is_decoded_to_choose(tmp_path: Path) -> None:
    made = reader()
    with_sound = made(Video(loud(tmp_path / "a.mov"))).trace
    assert with_sound.preview == "sound" and with_sound.cost.audio_seconds == pytest.approx(2.0)
    assert with_sound.cost.frames_glanced == 0 and not with_sound.skimmed
    assert with_sound.cost.frames_decoded == len(with_sound.read) == 5
    assert (made.hear.rows, made.look.rows, made.features.rows) == (12, 0, 5)
    assert with_sound.cost.macs == made.dense_macs(20)
    without = made(Video(write_sounding(tmp_path / "b.mov", None))).trace
    assert without.preview == "glances" and without.cost.audio_seconds == 0
    assert without.cost.frames_glanced == 12 and (made.hear.rows, made.look.rows) == (12, 12)
    made.set_policy("confidence", 0.0)
    halted = made(Video(tmp_path / "a.mov")).trace
    assert halted.cost.frames_decoded == 1 and halted.halted_at == with_sound.read[0]


def given_of(made: ListenToLook, path: Path) -> dict[str, Tensor]:
    with Video(path) as video:
        frames = made.training_frames(len(video), video.index.keyframes)
        sounds = sounds_at(video.audio(), video.index.timestamps_seconds[frames], made.sound_size)
        pixels = video.read(frames, size=made.frame_size)
        glances = video.glance(frames, size=made.glance_size)
    return {"pixel_values": pixels, "glances": glances, "sounds": sounds}


@torch.no_grad()
def test_training_and_reading_say_the_same_of_any_mixture(tmp_path: Path) -> None:
    made = reader()
    paths = [loud(tmp_path / f"{k}.mov", 0.3 * k, seed=k) for k in range(1, 6)]
    paths[2] = write_sounding(tmp_path / "silent.mov", None, seed=9)
    rows = [given_of(made, path) for path in paths]
    output = made(**{name: torch.stack([row[name] for row in rows]) for name in rows[0]})
    alone = [made(Video(path)) for path in paths]
    together = list(Engine(8, deterministic=True).run(made.read, [Video(p) for p in paths]))
    previews = [outcome.trace.preview for outcome in alone]
    assert previews == ["sound", "sound", "glances", "sound", "sound"]
    for logits, one, many in zip(output.logits, alone, together, strict=True):
        torch.testing.assert_close(one.value, logits, atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(many.value, one.value, atol=1e-4, rtol=1e-5)
        assert many.trace.read == one.trace.read
    seen = made.frames_seen(output, 12)
    assert seen.sum(1).tolist() == [5, 5, 12, 5, 5]
    plan = made.training_frames(20, [])
    assert {plan[k] for k in seen[0].nonzero()[:, 0]} == {*alone[0].trace.read}
    no_glances = {name: rows[0][name][None] for name in ("pixel_values", "sounds")}
    torch.testing.assert_close(made(**no_glances).logits[0], alone[0].value, atol=1e-4, rtol=1e-5)
    with pytest.raises(ValueError, match="glances .* are needed of videos without sound"):
        made(pixel_values=rows[2]["pixel_values"][None])


def test_sound_that_cannot_be_had_is_a_fault_and_glances_answer(tmp_path: Path) -> None:
    made = reader()
    video = Video(loud(tmp_path / "a.mov"))

    def audio() -> Any:
        raise OSError("the sound is broken")

    video.audio = audio  # type: ignore[method-assign]
    outcome = made(video)
    assert str(outcome.fault) == "the sound is broken" and outcome.trace.preview == "glances"
    quiet = made(Video(write_sounding(tmp_path / "b.mov", None, seed=0)))
    torch.testing.assert_close(outcome.value, quiet.value, atol=1e-4, rtol=1e-5)


def examples(made: ListenToLook, count: int = 24) -> tuple[dict[str, Tensor], Tensor]:
    """Videos of which one frame tells the class; at it there is a sound."""
    torch.manual_seed(5)
    candidates, width = made.config.num_candidates, made.backbone.num_features
    told = torch.randint(candidates, (count,))
    labels = torch.randint(4, (count,))
    rows = torch.arange(count)
    features = torch.randn(count, candidates, width) * 0.1
    features[rows, told] += 3 * torch.eye(4, width)[labels]
    sounds = torch.full((count, candidates, *made.sound_size), -4.6)
    sounds[rows, told] = 1.0
    glances = torch.zeros(count, candidates, 3, *made.glance_size, dtype=torch.uint8)
    return {"features": features, "glances": glances, "sounds": sounds, "labels": labels}, told


def test_it_learns_to_look_where_it_hears_something() -> None:
    made = reader(num_candidates=6, num_frames=1, silence=0.0, num_steps=8, glance_pixels=8)
    given, told = examples(made)
    trained = [weight for name, weight in made.named_parameters() if "backbone" not in name]
    optimizer = torch.optim.AdamW(trained, lr=2e-2)
    made.train()
    for _ in range(60):
        loss = made(**given).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    made.eval()
    with torch.no_grad():
        output = made(**given)
    assert (output.picked[:, 0] == told).float().mean() > 0.9
    assert (output.logits.argmax(-1) == given["labels"]).float().mean() > 0.9


def test_in_training_sound_is_sometimes_taken_away() -> None:
    given, _ = examples(reader(num_candidates=8))
    for silence, ears, eyes in ((1.0, False, True), (0.0, True, False), (0.5, True, True)):
        made = reader(num_candidates=8, silence=silence).train()
        given["glances"] = torch.randint_like(given["glances"], 255)
        made(**given).loss.backward()
        moved = [
            any(p.grad is not None and bool(p.grad.abs().max() > 0) for p in part.parameters())
            for part in (made.ears, made.scorer.net)
        ]
        assert moved == [ears, eyes], silence


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"evidence": "motion"}, r"evidence \('motion'\) must be one of"),
        ({"silence": 2.0}, r"silence \(2.0\) must be between 0"),
        ({"num_steps": 0}, r"num_steps \(0\)"),
    ],
)
def test_a_wrong_option_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ListenToLookConfig(backbone=ViTConfig().to_dict(), **fields)
