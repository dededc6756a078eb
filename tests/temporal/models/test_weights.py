"""Weights beside a configuration: digests, indices that lead elsewhere, configurations as bombs."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    ViTConfig,
    ViTForImageClassification,
)

from temporal.models import EarlyExit, FrameExit, SkimRNN, SkimRNNConfig
from temporal.models.weights import (
    DIGESTS,
    check_checkpoint,
    digest_of_weights,
    shapes_of,
    weight_files,
)
from temporal.pipelines.loading.checkpoints import open_checkpoint
from temporal.pipelines.loading.model_options import ModelOptions

BERT = BertConfig(
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=8,
    vocab_size=50,
    max_position_embeddings=16,
)
VIT = ViTConfig(
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=8,
    image_size=8,
    patch_size=4,
)
SKIM = SkimRNNConfig(vocab_size=50, embedding_size=4, hidden_size=6, skim_size=2)
OPTIONS = ModelOptions()


@pytest.fixture(params=["whole", "sharded"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A reader in one file, or in several."""
    options = {} if request.param == "whole" else {"max_shard_size": "1KB"}
    SkimRNN(SKIM).save_pretrained(tmp_path / "reader", **options)
    count = len(weight_files(tmp_path / "reader"))
    assert count == 1 if request.param == "whole" else count > 1
    return tmp_path / "reader"


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-2] ^= 1  # in the last tensor, far from the header
    file.write_bytes(content)


def test_a_flipped_bit_is_found_in_any_file(saved: Path) -> None:
    SkimRNN.from_pretrained(saved)
    for file in weight_files(saved):
        before = file.read_bytes()
        flip_a_bit(file)
        with pytest.raises(ValueError, match=f"{file.name} is not the file that was saved"):
            SkimRNN.from_pretrained(saved)
        with pytest.raises(ValueError, match="not the file that was saved"):
            open_checkpoint("text-classification", str(saved), OPTIONS)
        file.write_bytes(before)
    SkimRNN.from_pretrained(saved)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum here")
def test_the_digests_are_those_of_sha256sum(saved: Path) -> None:
    check = ["sha256sum", "--check", "--strict", DIGESTS]
    assert subprocess.run(check, cwd=saved, capture_output=True).returncode == 0


def test_saving_again_refreshes_the_digests_and_without_any_nothing_is_compared(
    saved: Path,
) -> None:
    reader = SkimRNN.from_pretrained(saved)
    with torch.no_grad():
        reader.classifier.weight.add_(1.0)
    reader.save_pretrained(saved)
    again = SkimRNN.from_pretrained(saved)
    assert torch.equal(again.classifier.weight, reader.classifier.weight)
    (saved / DIGESTS).unlink()
    flip_a_bit(weight_files(saved)[-1])
    SkimRNN.from_pretrained(saved)


def test_a_file_that_is_not_listed_is_refused(saved: Path) -> None:
    (saved / DIGESTS).write_text("")
    with pytest.raises(ValueError, match="not the file that was saved"):
        SkimRNN.from_pretrained(saved)


def test_other_processes_write_no_digests_and_a_push_sends_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = SkimRNN(SKIM)
    reader.save_pretrained(tmp_path / "second", is_main_process=False)
    assert not (tmp_path / "second" / DIGESTS).exists()
    pushed: list[dict[str, Any]] = []
    monkeypatch.setattr(SkimRNN, "push_to_hub", lambda self, **options: pushed.append(options))
    reader.save_pretrained(tmp_path / "mine", push_to_hub=True, commit_message="first")
    assert pushed == [{"repo_id": "mine", "commit_message": "first"}]
    assert (tmp_path / "mine" / DIGESTS).exists()


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return open, (self.mark, "w")


@pytest.mark.parametrize("name", ["model.bin", "../x.safetensors", "/tmp/x.safetensors", "gone"])
@pytest.mark.parametrize("of_reader", [True, False])
def test_an_index_leads_to_safetensors_in_its_folder_only(
    name: str, of_reader: bool, tmp_path: Path
) -> None:
    folder, mark = tmp_path / "model", tmp_path / "mark"
    model = SkimRNN(SKIM) if of_reader else BertForSequenceClassification(BERT)
    model.save_pretrained(folder)
    names = list(shapes_of(folder / "model.safetensors"))
    (folder / "model.safetensors").unlink()
    (folder / "model.bin").write_bytes(pickle.dumps(Bomb(str(mark))))
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, name)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"index.json names .*" + name.replace("/", ".")):
        open_checkpoint("text-classification", str(folder), OPTIONS)
    if of_reader:
        with pytest.raises(ValueError, match="names"):
            SkimRNN.from_pretrained(folder)
    assert not mark.exists()


NAMES = {str(number): str(number) for number in range(10_001)}
POSITIONS = [("max_position_embeddings", 10**10), ("max_position_embeddings", float("nan"))]
BOMBS: dict[str, list[Any]] = {
    "skim": [("hidden_size", 10**9), ("vocab_size", 10**10), ("num_labels", 10**8)],
    "bert": [
        ("num_hidden_layers", 10**5),
        ("num_labels", 10**8),
        ("id2label", NAMES),
        ("intermediate_size", 10**9),
        *POSITIONS,
    ],
    "early exit": [("encoder.num_hidden_layers", 10**9), ("encoder.vocab_size", 10**10)],
    "vit": [
        ("num_hidden_layers", 10**5),
        ("hidden_size", 10**8),
        ("num_labels", 10**8),
        ("image_size", 10**6),
    ],
    "frames": [("backbone.num_hidden_layers", 10**6), ("backbone.hidden_size", float("inf"))],
}


@pytest.mark.parametrize("shards", [{}, {"max_shard_size": "1KB"}], ids=["whole", "sharded"])
@pytest.mark.parametrize("kind", BOMBS)
def test_a_configuration_is_bounded_by_the_weights_that_are_there(
    kind: str, shards: dict, tmp_path: Path
) -> None:
    make: dict[str, Any] = {
        "skim": lambda: SkimRNN(SKIM),
        "bert": lambda: BertForSequenceClassification(BERT),
        "early exit": lambda: EarlyExit.from_classifier(BertForSequenceClassification(BERT)),
        "vit": lambda: ViTForImageClassification(VIT),
        "frames": lambda: FrameExit.from_backbone(
            ViTForImageClassification(VIT).vit, image_size=8, num_frames=2
        ),
    }
    task = "video-classification" if kind in ("vit", "frames") else "text-classification"
    make[kind]().save_pretrained(tmp_path, **shards)
    check_checkpoint(tmp_path)
    assert open_checkpoint(task, str(tmp_path), OPTIONS) is not None
    sound = json.loads((tmp_path / "config.json").read_text())
    for name, value in BOMBS[kind]:
        config = json.loads(json.dumps(sound))
        *parents, field = name.split(".")
        place = config
        for parent in parents:
            place = place[parent]
        place[field] = value
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError, match=rf"{name} \(.*\) must be <= "):
            open_checkpoint(task, str(tmp_path), OPTIONS)


def test_layers_that_share_their_weights_are_no_bomb(tmp_path: Path) -> None:
    from transformers import AlbertConfig

    config = AlbertConfig(
        hidden_size=8,
        embedding_size=8,
        num_hidden_layers=60,
        num_attention_heads=2,
        intermediate_size=8,
        vocab_size=50,
    )
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    check_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 64, b"\x10" + bytes(7) + b"no json at all..", bytes(8)]
)
def test_what_is_no_safetensors_file_is_refused(content: bytes, tmp_path: Path) -> None:
    SkimRNN(SKIM).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        open_checkpoint("text-classification", str(tmp_path), OPTIONS)


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    SkimRNN(SKIM).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(ValueError, match="ends after"):
        open_checkpoint("text-classification", str(tmp_path), OPTIONS)


def test_weights_are_the_same_in_however_many_files_they_lie(tmp_path: Path) -> None:
    reader = SkimRNN(SKIM)
    reader.save_pretrained(tmp_path / "whole")
    reader.save_pretrained(tmp_path / "sharded", max_shard_size="1KB")
    SkimRNN.from_pretrained(tmp_path / "sharded").save_pretrained(tmp_path / "again")
    digests = {digest_of_weights(tmp_path / name) for name in ("whole", "sharded", "again")}
    (digest,) = digests
    assert digest is not None and len(digest) == 32
    assert digest_of_weights(tmp_path) is None
    for file in weight_files(tmp_path / "sharded"):
        before = file.read_bytes()
        flip_a_bit(file)
        assert digest_of_weights(tmp_path / "sharded") != digest
        file.write_bytes(before)
    reader.to(torch.bfloat16).save_pretrained(tmp_path / "half")
    assert digest_of_weights(tmp_path / "half") != digest


@pytest.mark.parametrize("name", ["../x.safetensors", "/tmp/x.safetensors", "model.bin", 3])
def test_weights_that_a_configuration_names_lie_in_its_folder(name: Any, tmp_path: Path) -> None:
    SkimRNN(SKIM).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"transformers_weights": name}))
    for load in (
        SkimRNN.from_pretrained,
        lambda folder: open_checkpoint("text-classification", str(folder), OPTIONS),
    ):
        with pytest.raises(ValueError, match="transformers_weights .* in the folder itself"):
            load(tmp_path)


def test_the_file_that_a_configuration_names_is_the_one_that_is_checked(tmp_path: Path) -> None:
    SkimRNN(SKIM).save_pretrained(tmp_path)
    other = tmp_path / "other.safetensors"
    shutil.copy(tmp_path / "model.safetensors", other)
    flip_a_bit(other)
    config = json.loads((tmp_path / "config.json").read_text())
    config["transformers_weights"] = other.name
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert weight_files(tmp_path) == [other]
    with pytest.raises(ValueError, match="other.safetensors is not the file that was saved"):
        SkimRNN.from_pretrained(tmp_path)
    other.unlink()
    with pytest.raises(ValueError, match="names 'other.safetensors', which is not there"):
        SkimRNN.from_pretrained(tmp_path)
