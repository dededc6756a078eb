"""What `pipeline()` loads, and what it refuses to load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForSequenceClassification,
    BertForSequenceClassification,
    ViTForImageClassification,
)

from temporal.models import ChunkReader, ClipReader, EarlyExit, FrameExit, SkimRNN
from temporal.pipelines.loading.load import load_model, special_tokens
from temporal.pipelines.loading.loaded_weights import check_loaded


def test_each_checkpoint_finds_its_reader(
    bert_path: Path,
    early_exit_path: Path,
    skim_path: Path,
    vit_path: Path,
    video_mae_path: Path,
    frame_exit_path: Path,
) -> None:
    for task, path, reader in (
        ("text-classification", bert_path, ChunkReader),
        ("text-classification", early_exit_path, EarlyExit),
        ("text-classification", skim_path, SkimRNN),
        ("video-classification", vit_path, FrameExit),
        ("video-classification", frame_exit_path, FrameExit),
        ("video-classification", video_mae_path, ClipReader),
    ):
        loaded = load_model(task, str(path))
        assert type(loaded.reader) is reader and loaded.name == str(path)
        assert (loaded.tokenizer is not None) == task.startswith("text")


def test_only_readers_of_whole_texts_get_special_tokens(
    bert_path: Path, early_exit_path: Path, skim_path: Path
) -> None:
    added = {
        path: load_model("text-classification", path).adds_special_tokens
        for path in (bert_path, early_exit_path, skim_path)
    }
    # An encoder has its own in every chunk, an EarlyExit in the text, a SkimRNN has none.
    assert added == {bert_path: False, early_exit_path: True, skim_path: False}


def test_an_ordinary_classifier_takes_one_chunk_or_many(bert_path: Path) -> None:
    assert load_model("text-classification", bert_path).max_tokens == 62  # 64 positions less 2
    pieces = load_model("text-classification", bert_path, needs_pieces=True)
    # Chunks of 128, cut to the positions, have 62 tokens of the text.
    assert (pieces.max_tokens, pieces.reader.chunk_tokens) == (None, 62)
    assert load_model("text-classification", bert_path, chunk_size=20).reader.chunk_tokens == 18


@pytest.mark.parametrize("model", ["early_exit_path", "skim_path", "vit_path", "frame_exit_path"])
def test_a_chunk_size_is_for_ordinary_text_classifiers(
    model: str, request: pytest.FixtureRequest
) -> None:
    task = "text" if model in ("early_exit_path", "skim_path") else "video"
    with pytest.raises(ValueError, match=r"chunk_size \(20\) is for ordinary text classifiers; "):
        load_model(f"{task}-classification", request.getfixturevalue(model), chunk_size=20)


def test_special_tokens_of_a_tokenizer(tokenizer: Any) -> None:
    assert special_tokens(tokenizer) == ([2], [3])


def test_a_loaded_model_needs_its_tokenizer(bert_path: Path, tokenizer: Any) -> None:
    model = BertForSequenceClassification.from_pretrained(bert_path)
    for given in (tokenizer, str(bert_path)):
        loaded = load_model("text-classification", model, tokenizer=given)
        assert loaded.module.encoder.classifier is model  # no copy
        assert loaded.name == "BertForSequenceClassification"
    assert load_model("text-classification", model).tokenizer is not None  # it knows its path
    model.config.name_or_path = model.name_or_path = ""
    with pytest.raises(ValueError, match="needs its tokenizer: pass tokenizer="):
        load_model("text-classification", model)


def test_a_model_of_another_kind_is_named(vit_path: Path, tokenizer: Any) -> None:
    vit = ViTForImageClassification.from_pretrained(vit_path)
    with pytest.raises(ValueError, match=r"model \(Linear\) must be a text reader or"):
        load_model("text-classification", torch.nn.Linear(1, 1), tokenizer=tokenizer)
    with pytest.raises(ValueError, match=r"model \(Linear\) must be a video reader, or"):
        load_model("video-classification", torch.nn.Linear(1, 1))
    assert isinstance(load_model("video-classification", vit).reader, FrameExit)


def test_an_unknown_path_is_named(tmp_path: Path) -> None:
    for task in ("text-classification", "video-classification"):
        with pytest.raises(OSError, match="no-such-model"):
            load_model(task, str(tmp_path / "no-such-model"))


def test_a_pickled_checkpoint_is_refused(bert_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(bert_path, folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    # transformers itself would open the pickle.
    assert AutoModelForSequenceClassification.from_pretrained(folder).num_labels == 3
    with pytest.raises(OSError, match="safetensors"):
        load_model("text-classification", str(folder))


def test_code_beside_a_model_does_not_run_unasked(bert_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "with-code"
    shutil.copytree(bert_path, folder)
    mark = tmp_path / "ran"
    (folder / "evil.py").write_text(
        "from transformers import BertConfig\n"
        f"open({str(mark)!r}, 'w').close()\n"
        "class EvilConfig(BertConfig):\n    model_type = 'evil'\n"
    )
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.EvilConfig"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises((ValueError, OSError), match="trust_remote_code"):
        load_model("text-classification", str(folder))
    assert not mark.exists()


def test_a_reader_without_some_of_its_weights_is_refused(skim_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "headless"
    shutil.copytree(skim_path, folder)
    weights = load_file(folder / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if "classifier" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="lacks weights of the reader.*classifier"):
        load_model("text-classification", str(folder))


def test_weights_of_other_shapes_are_named(bert_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    shutil.copytree(bert_path, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"weights of other shapes .*: classifier\.bias"):
        load_model("text-classification", str(folder))


def test_pixels_are_normalised_as_the_checkpoint_says(vit_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "vit"
    shutil.copytree(vit_path, folder)
    assert load_model("video-classification", str(folder)).reader.config.pixel_mean == [127.5] * 3
    settings = {
        "image_processor_type": "ViTImageProcessor",
        "rescale_factor": 1 / 255,
        "image_mean": [0.4, 0.5, 0.6],
        "image_std": [0.1, 0.2, 0.3],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    settings["size"] = {"height": 32, "width": 32}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    reader = load_model("video-classification", str(folder)).reader
    (pixels,) = reader.pixels(torch.full((1, 3, 40, 50), 153, dtype=torch.uint8))
    want = [(0.6 - mean) / std for mean, std in ((0.4, 0.1), (0.5, 0.2), (0.6, 0.3))]
    assert pixels.shape == (1, 3, 32, 32)
    assert pixels[0, :, 7, 9].tolist() == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    ("model", "task"),
    [
        ("bert_path", "text-classification"),
        ("skim_path", "text-classification"),
        ("early_exit_path", "text-classification"),
        ("vit_path", "video-classification"),
        ("frame_exit_path", "video-classification"),
    ],
)
def test_weights_that_are_no_numbers_are_refused(
    model: str, task: str, number: float, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """One is enough; a training that went wrong saves such, and every answer would be none."""
    folder = shutil.copytree(request.getfixturevalue(model), tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in sorted(weights) if name.endswith("weight"))
    weights[name].view(-1)[-1] = number
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "weights.sha256").unlink(missing_ok=True)
    with pytest.raises(ValueError, match=f"NaN or infinite.*{name}"):
        load_model(task, str(folder))
    with pytest.raises(ValueError, match="NaN or infinite"):
        load_model(task, str(folder), dtype="bfloat16")


def test_what_else_was_stored_may_mask_and_nothing_more() -> None:
    model = torch.nn.Linear(2, 2)
    model.register_buffer("mask", torch.tensor([0.0, float("-inf")]))
    model.register_buffer("packed", torch.ones(3, dtype=torch.uint8))
    model.register_buffer("nothing", torch.ones(0))
    check_loaded("here", model, {})
    for number in (float("nan"), float("inf")):
        model.mask = torch.tensor([0.0, number])
        with pytest.raises(ValueError, match="here holds weights that are NaN or infinite.*mask"):
            check_loaded("here", model, {})
