"""`temporal select`: a line of JSON for each video."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, PreTrainedTokenizerFast
from typer.testing import CliRunner

import temporal
from temporal.data import Video
from temporal.models.selection.image_text import ImageText
from temporal.pipelines.command.cli import app


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("select") / "clip.avi"
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for number in range(60):
            image = random.integers(0, 255, (32, 48, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("clip_model"))
    part = {
        **{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        "intermediate_size": 16,
    }
    text = {**part, "vocab_size": 8, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    vision = {**part, "image_size": 16, "patch_size": 8}
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    words = {word: k for k, word in enumerate(("[PAD]", "[CLS]", "[SEP]", "[UNK]", "car"))}
    inner = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]").save_pretrained(folder)
    CLIPImageProcessorPil(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
    ).save_pretrained(folder)
    return folder


def run(*arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    result = CliRunner().invoke(app, ["select", *arguments])
    lines = [json.loads(one) for one in result.stdout.splitlines() if one.startswith("{")]
    return result.exit_code, lines, result.output


def test_frames_times_and_cost_are_told(clip: Path) -> None:
    code, (line,), _ = run(str(clip), "--num-frames", "4", "--by", "motion")
    chosen = temporal.select(Video(clip), 4, by="motion", read=False)
    assert code == 0 and line["file"] == str(clip)
    assert line["frames"] == chosen.frames and line["frames_decoded"] == 0
    assert line["timestamps_seconds"] == chosen.timestamps_seconds.tolist()
    assert line["metadata"]["frames_indices"] == chosen.frames
    assert line["metadata"]["fps"] == 10.0


def test_by_a_question(clip: Path, scorer: str) -> None:
    code, (line,), _ = run(
        str(clip), "-n", "4", "--query", "car", "--model", scorer, "--pairs", "2"
    )
    assert code == 0 and line["frames_scored"] == 4
    first, second, third, fourth = line["frames"]
    assert second == first + 1 and fourth == third + 1


def test_what_cannot_be_read_is_a_line(clip: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video" * 100)
    code, lines, _ = run(str(broken), str(clip), str(tmp_path / "none.mp4"))
    assert code == 3 and [("error" in line) for line in lines] == [True, False, True]
    assert "VideoError" in lines[0]["error"] and len(lines[1]["frames"]) == 16


def test_options_that_cannot_be_are_refused(clip: Path, tmp_path: Path) -> None:
    for arguments, says in (
        (["--query", "car"], "model="),
        (["--by", "best"], "by"),
        (["--query", "car", "--model", str(tmp_path)], "cannot be loaded"),
        (["--pairs", "3"], "multiple of 3"),
    ):
        code, lines, output = run(str(clip), *arguments)
        assert code == 2 and not lines and says in output


def test_a_pickled_model_of_questions_is_refused(scorer: str, tmp_path: Path) -> None:
    folder = shutil.copytree(scorer, tmp_path / "pickled")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(OSError, match="safetensors"):
        ImageText.from_pretrained(folder)
