"""What asking costs: a video-language model that halts, beside the same model on uniform frames.

The same questions about the same videos are answered by `VideoLanguageReader` at its operating
points, and by the model called once on K uniform frames; decoding is in all of it, and each way
opens every file anew. Ways take turns; medians over rounds, after one that warms up. What a model
says is compared with the full reading, not with right answers: "accuracy" is agreement. So a model
with small random weights serves to measure what looks cost. Prints JSON.

    python scripts/benchmarks/language/benchmark_questions.py clips/* --model MODEL --output_dir out
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers.video_utils import VideoMetadata

from temporal.backbones.video_language import chosen_inputs
from temporal.data import Video
from temporal.engine import Engine
from temporal.models import Asked, Question, VideoLanguageReader
from temporal.models.language.question import prompt_of
from temporal.models.selection.clock import metadata_fields
from temporal.policies.read import uniform
from temporal.training.question_points import question_points

UNIFORM = (1, 2, 4, 8, 16, 32)
Answers = dict[str, str]


def reading(reader: VideoLanguageReader, threshold: float | None) -> Callable[..., Any]:
    """Ask by the reader, at one threshold. Returns the answers, frames read and decoded."""

    def run(asked: list[tuple[Path, Question]]) -> tuple[Answers, int, int]:
        reader.config.threshold = threshold
        answers: Answers = {}
        read = decoded = 0
        engine = Engine(4, max_batch_size=8, num_threads=2, deterministic=True)
        sources = (Asked(Video(path, id=str(k)), one) for k, (path, one) in enumerate(asked))
        for outcome in engine.run(reader.read, sources):
            if outcome.error is not None:
                raise outcome.error
            answers[outcome.source.id] = outcome.value.text
            read += outcome.trace.units_read
            decoded += outcome.trace.cost.frames_decoded
            outcome.source.close()
        return answers, read, decoded

    return run


def calling(reader: VideoLanguageReader, num_frames: int) -> Callable[..., Any]:
    """Ask by one call of the model on uniform frames, a video after the other."""
    model, processor = reader.model, reader.processor

    def run(asked: list[tuple[Path, Question]]) -> tuple[Answers, int, int]:
        answers: Answers = {}
        read = decoded = 0
        for k, (path, question) in enumerate(asked):
            with Video(path) as video, torch.inference_mode():
                frames = uniform(len(video), num_frames)
                metadata = VideoMetadata(**metadata_fields(video.index, frames))
                text = prompt_of(processor, question)
                inputs = chosen_inputs(processor, [text], [video.read(frames)], [metadata])
                logits = model(**inputs).logits[0, -1]
                firsts = [
                    processor.tokenizer(option, add_special_tokens=False)["input_ids"][0]
                    for option in question.options
                ]
                answers[str(k)] = question.options[int(logits[firsts].argmax())]
                read += len(frames)
                decoded += video.spent.frames_decoded
        return answers, read, decoded

    return run


def measure(
    ways: dict[str, Callable[..., Any]], asked: list[tuple[Path, Question]], rounds: int
) -> dict[str, Any]:
    """Let ways take turns; what each took and said."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    said: dict[str, Any] = {}
    for number in range(rounds + 1):
        names = list(ways)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = time.perf_counter()
            said[name] = ways[name](asked)
            if number:
                seconds[name].append(time.perf_counter() - start)
    full = said["reader, nothing halted"][0]
    table = {}
    for name, (answers, read, decoded) in said.items():
        agree = sum(answers[key] == full[key] for key in full) / len(full)
        table[name] = {
            "seconds_per_question": statistics.median(seconds[name]) / len(asked),
            "frames_read_per_question": read / len(asked),
            "frames_decoded_per_question": decoded / len(asked),
            "agreement_with_full_reading": agree,
        }
    return table


def main() -> None:
    """Parse, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--model", required=True, help="Folder or hub id, with its processor.")
    parser.add_argument("--question", action="append", help="May be repeated.")
    parser.add_argument("--options", default="A|B|C|D", help="One token each, with | between.")
    parser.add_argument("--num_frames", type=int, default=32)
    parser.add_argument("--first_frames", type=int, default=4)
    parser.add_argument("--criterion", default="margin")
    parser.add_argument("--points", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output_dir", type=Path)
    given = parser.parse_args()
    reader = VideoLanguageReader.from_pretrained(
        given.model,
        num_frames=given.num_frames,
        first_frames=given.first_frames,
        criterion=given.criterion,
    )
    options = tuple(given.options.split("|"))
    questions = given.question or ["What happens?", "Who can be seen?", "Where is it?"]
    asked = [(path, Question(one, options)) for path in given.videos for one in questions]
    sources = [Asked(Video(path), question) for path, question in asked]
    points = question_points(reader.answers(sources), count=given.points)
    ways = {"reader, nothing halted": reading(reader, None)}
    for point in points[1:]:
        threshold = point["policy"]["threshold"]
        name = f"reader, {given.criterion} {threshold:.3g}"
        ways[name] = reading(reader, threshold)
    ways |= {f"model, {k} uniform frames": calling(reader, k) for k in UNIFORM}
    result = {
        "questions": len(asked),
        "accuracy_is": "agreement with the full reading",
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "rounds": given.rounds,
        "points": points,
        "ways": measure(ways, asked, given.rounds),
    }
    text = json.dumps(result, indent=2)
    print(text)
    if given.output_dir:
        given.output_dir.mkdir(parents=True, exist_ok=True)
        (given.output_dir / "questions.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
