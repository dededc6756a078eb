"""Questions about videos are asked and answered as in transformers, from calls to rows."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.video_utils import VideoMetadata
from typer.testing import CliRunner

from temporal.backbones.video_language import chosen_inputs
from temporal.data import Video
from temporal.models import VideoLanguageReader
from temporal.models.language.question import Question, prompt_of
from temporal.models.selection.clock import metadata_fields
from temporal.pipelines import ReadingFailed, pipeline
from temporal.pipelines.command.cli import app
from temporal.pipelines.jobs.store.ledger import read_rows

from ..language_models import families, noise_clips, save_family

TASK = "video-text-to-text"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder, and clips beside it."""
    folder = tmp_path_factory.mktemp("asked")
    save_family("Qwen3-VL", folder / "model")
    noise_clips(folder / "clips", 3)
    return folder


@pytest.fixture(scope="module")
def pipe(place: Path) -> Any:
    return pipeline(TASK, model=str(place / "model"), num_frames=8, max_new_tokens=4)


def chat(path: Path | str, text: str = "What happens?") -> list[dict[str, Any]]:
    content = [{"type": "video", "path": str(path)}, {"type": "text", "text": text}]
    return [{"role": "user", "content": content}]


def test_a_chat_is_answered_as_the_model_answers_when_it_is_called_once(place, pipe):
    clip = place / "clips/0.mp4"
    (answer,) = pipe(chat(clip), return_full_text=False)
    with Video(clip) as video:
        frames = [1, 3, 6, 8, 11, 13, 16, 18]
        metadata = VideoMetadata(**metadata_fields(video.index, frames))
        processor = pipe.reader.processor
        text = prompt_of(processor, Question("What happens?"))
        inputs = chosen_inputs(processor, [text], [video.read(frames)], [metadata])
    assert "<0.2 seconds>" in processor.tokenizer.decode(inputs["input_ids"][0])
    with torch.inference_mode():
        alone = pipe.reader.model.generate(**inputs, max_new_tokens=4, do_sample=False)
    new = alone[0, inputs["input_ids"].shape[1] :]
    wanted = processor.tokenizer.decode(new, skip_special_tokens=True)
    assert answer == {"input_text": chat(clip), "generated_text": wanted}
    (whole,) = pipe(text=chat(clip))
    assert whole["generated_text"] == [*chat(clip), {"role": "assistant", "content": wanted}]
    (plain,) = pipe(str(clip), text="What happens?")
    assert plain == {
        "input_text": "What happens?",
        "generated_text": f"What happens?{wanted}",
    }


def test_an_answer_that_the_assistant_began_goes_on(place, pipe):
    begun = [*chat(place / "clips/0.mp4"), {"role": "assistant", "content": "It is"}]
    (alone,) = pipe(begun, return_full_text=False)
    (whole,) = pipe(begun)
    assert whole["generated_text"][-1]["content"] == "It is" + alone["generated_text"]
    assert len(whole["generated_text"]) == 2


def test_what_is_asked_in_one_call_is_answered_as_alone(place, pipe):
    clips = [str(place / f"clips/{k}.mp4") for k in range(3)]
    questions = ["What?", "Who is it that can be seen there?", "Why?"]
    alone = [pipe(clip, text=text) for clip, text in zip(clips, questions, strict=True)]
    assert pipe(clips, text=questions) == alone
    assert pipe([chat(clip) for clip in clips[:2]])[1] == pipe(chat(clips[1]))
    assert pipe(clips[0], text=questions[:2])[0] == alone[0]
    one_question = pipe(clips, text=["What?"] * 3)
    assert pipe(str(place / "clips"), text="What?") == one_question
    rows = ({"video": clip, "question": "What?"} for clip in clips)
    lazily = pipe(rows)
    assert next(lazily) == one_question[0]
    assert list(lazily) == one_question[1:]
    longer = pipe(clips[0], text="What?", generate_kwargs={"max_new_tokens": 6})
    assert longer[0]["generated_text"].startswith(one_question[0][0]["generated_text"])
    assert pipe(clips[0], text="What?") == one_question[0]  # a call's options are its own


def test_frames_in_memory_are_videos(pipe):
    made = np.random.default_rng(1).integers(0, 256, (2, 12, 48, 64, 3)).astype(np.uint8)
    alone = [pipe(one, text="What?", return_full_text=False) for one in made]
    assert pipe(videos=list(made), text="What?", return_full_text=False) == alone
    content = [{"type": "video", "video": made[0]}, {"type": "text", "text": "What?"}]
    (answer,) = pipe([{"role": "user", "content": content}], return_full_text=False)
    assert answer["generated_text"] == alone[0][0]["generated_text"]


def test_options_are_chosen_from(place, pipe):
    clip = str(place / "clips/1.mp4")
    (reading,) = pipe.read([clip], question="Which?", options=["a dog", "a cat"])
    assert reading.predictions[0]["generated_text"] in ("a dog", "a cat")
    assert 0.5 <= reading.predictions[0]["certainty"] <= 1
    (other,) = pipe.read([{"video": clip, "question": "Which?", "options": '["a dog", "a cat"]'}])
    assert other.predictions == reading.predictions
    (told,) = pipe(clip, text="Which?", options="a dog | a cat", return_full_text=False)
    assert told["generated_text"] == reading.predictions[0]["generated_text"]
    set_before = pipeline(TASK, model=pipe.reader, question="Which?", options="a dog|a cat")
    assert set_before.options == ("a dog", "a cat")


def test_a_certain_answer_leaves_frames_undecoded(place):
    made = pipeline(
        TASK,
        model=str(place / "model"),
        num_frames=16,
        first_frames=2,
        policy="confidence:0.0",
        max_new_tokens=2,
    )
    (reading,) = made.read([str(place / "clips/0.mp4")], question="What?")
    assert reading.trace.units_read == 2
    assert reading.trace.cost.frames_decoded < 12
    assert reading.trace.visual_tokens == reading.predictions[0]["visual_tokens"] > 0
    assert reading.predictions[0]["looks"] == 1
    assert made.model.config.threshold == 0


def test_what_is_bad_is_a_reading_with_its_reason(place, pipe):
    broken = place / "broken.mp4"
    broken.write_bytes(b"no video")
    clip = str(place / "clips/0.mp4")
    inputs = [
        {"video": clip},
        {"video": str(broken), "question": "What?"},
        {"video": clip, "question": "Which?", "options": "A"},
        [{"role": "user", "content": "What?"}],
        {"video": clip, "question": "What?"},
        {"video": clip, "question": 7},
        {"video": clip, "text": "Which?", "options": 7},
    ]
    readings = list(pipe.read(inputs))
    assert [one.status for one in readings] == ["error"] * 4 + ["ok", "error", "error"]
    reasons = [one.error.reason for one in readings if one.error]
    assert reasons == ["bad_row", "not_media", "bad_row", "bad_row", "bad_row", "bad_row"]
    assert "nothing was asked" in readings[0].error.message
    with pytest.raises(ReadingFailed, match="nothing was asked"):
        pipe(clip)
    with pytest.raises(TypeError, match="its video inside"):
        pipe(clip, text=chat(clip))
    with pytest.raises(TypeError, match="one for each"):
        pipe([clip, clip], text=["What?"])
    with pytest.raises(ValueError, match="num_beams"):
        pipe(clip, text="What?", generate_kwargs={"num_beams": 2})


def test_rows_of_a_table_of_questions_and_of_a_folder(place, tmp_path):
    table = tmp_path / "asked.csv"
    with table.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["video", "question", "options"])
        out.writerow([place / "clips/0.mp4", "Which, one or two?", "one|two"])
        out.writerow([place / "clips/0.mp4", "What?", ""])
        out.writerow([place / "clips/1.mp4", "", ""])
    given = ["--model", str(place / "model"), "--num-frames", "4", "--max-new-tokens", "3"]
    given += ["--deadline-seconds", "0", "--quiet"]
    result = CliRunner().invoke(app, ["run", TASK, str(table), "-o", str(tmp_path / "out"), *given])
    assert result.exit_code == 3  # one row asks nothing
    rows = list(read_rows(tmp_path / "out"))
    assert [row["status"] for row in rows] == ["ok", "ok", "error"]
    assert rows[0]["generated_text"] in ("one", "two")
    assert rows[1]["question"] == "What?"
    assert rows[0]["frames"] == rows[1]["frames"] == [2, 7, 12, 17]
    assert rows[0]["units_read"] == 4
    assert 0 <= rows[1]["certainty"] <= 1
    out = tmp_path / "folder"
    asked = ["--question", "Which?", "--option", "A", "--option", "B", "--format", "jsonl"]
    command = ["run", TASK, str(place / "clips"), "-o", str(out), *given, *asked]
    assert CliRunner().invoke(app, command).exit_code == 0
    rows = list(read_rows(out))
    assert [row["id"] for row in rows] == ["0.mp4", "1.mp4", "2.mp4"]
    assert {row["generated_text"] for row in rows} <= {"A", "B"}
    options = json.loads((out / ".run.json").read_text())["options"]
    assert options["question"] == "Which?"
    assert options["options"] == ["A", "B"]


def test_settings_beside_a_model_are_read_with_it(place, tmp_path):
    model, processor = families().family("InternVL")
    VideoLanguageReader(model, processor, num_frames=6, first_frames=3).save_pretrained(tmp_path)
    made = pipeline(TASK, model=str(tmp_path), max_new_tokens=2)
    (reading,) = made.read([str(place / "clips/0.mp4")], question="What?")
    assert reading.trace.units_read == 6
    assert reading.predictions[0]["looks"] == 2
    made = pipeline(TASK, model=str(tmp_path), max_new_tokens=2, num_frames=3)
    (reading,) = made.read([str(place / "clips/0.mp4")], question="What?")
    assert reading.trace.units_read == 3
