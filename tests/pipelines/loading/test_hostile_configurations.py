"""Configurations with values that cannot be: refused in one sentence before anything is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from temporal.models import READERS
from temporal.pipelines import pipeline
from temporal.pipelines.command.cli import app
from temporal.pipelines.loading.configurations import check_types

from ...temporal.models.test_stored_points import OPTIONS

WRONG: dict[str, list[tuple[str, Any]]] = {
    "skim_path": [
        ("hidden_size", "12"),
        ("hidden_size", None),
        ("hidden_size", -3),
        ("hidden_size", [12]),
        ("vocab_size", 64.5),
        ("skim_size", {}),
        ("id2label", ["bad", "fair", "good"]),
        ("read_threshold", "half"),
        ("read_threshold", True),
        ("operating_points", {"policy": 1}),
        ("dtype", "float31"),
    ],
    "bert_path": [
        ("hidden_size", "16"),
        ("num_hidden_layers", 2.5),
        ("num_hidden_layers", "3"),
        ("num_attention_heads", 0),
        ("num_attention_heads", 3),
        ("hidden_act", "no such function"),
        ("hidden_act", 3),
        ("id2label", 3),
        ("layer_norm_eps", "small"),
        ("architectures", "BertForSequenceClassification"),
        ("max_position_embeddings", None),
    ],
    "early_exit_path": [
        ("encoder", 3),
        ("encoder", {}),
        ("encoder.hidden_size", "16"),
        ("exit_layers", "all"),
        ("exit_layers", [1, "two", 3]),
        ("thresholds", 0.5),
        ("criterion", 3),
    ],
    "frame_exit_path": [
        ("backbone", "vit"),
        ("backbone.hidden_size", "16"),
        ("num_frames", "five"),
        ("num_frames", -1),
        ("image_size", "32"),
        ("thresholds", {"a": 1}),
        ("pixel_mean", "grey"),
    ],
    "vit_path": [
        ("image_size", "32"),
        ("image_size", -32),
        ("patch_size", 0),
        ("num_channels", None),
        ("hidden_size", [16]),
    ],
}
CASES = [(model, field, value) for model, fields in WRONG.items() for field, value in fields]


@pytest.mark.parametrize(("model", "field", "value"), CASES)
def test_values_of_other_types_are_refused(
    model: str, field: str, value: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = shutil.copytree(request.getfixturevalue(model), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    *parents, name = field.split(".")
    place = config
    for parent in parents:
        place = place[parent]
    place[name] = value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises((ValueError, OSError)) as told:
        pipeline(model=folder)
    assert str(folder) in str(told.value)


def test_the_command_line_refuses_them_before_it_writes(bert_path: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(bert_path, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text()) | {"num_hidden_layers": "three"}
    (folder / "config.json").write_text(json.dumps(config))
    (tmp_path / "texts.csv").write_text("text\na good film\n")
    place, output = tmp_path / "texts.csv", tmp_path / "out"
    words = ["run", "text-classification", place, "--model", folder, "--output", output]
    ended = CliRunner().invoke(app, list(map(str, words)))
    assert ended.exit_code == 2 and "Traceback" not in ended.output, ended.output
    assert "num_hidden_layers" in ended.output and not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'"config"', b"null"])
def test_a_configuration_that_is_none_is_refused(
    content: bytes, bert_path: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(bert_path, tmp_path / "model")
    (folder / "config.json").write_bytes(content)
    with pytest.raises((ValueError, OSError), match=r"config\.json"):
        pipeline(model=folder)


@pytest.mark.parametrize("model_type", READERS)
def test_what_readers_are_made_with_is_of_its_type(model_type: str) -> None:
    made = READERS[model_type].config_class(**OPTIONS.get(model_type, {}))
    check_types(made)
    check_types(type(made).from_dict(json.loads(json.dumps(made.to_dict()))))


@pytest.mark.parametrize(
    "settings",
    [b"{", b"[]", b'{"fast_tokenizer_files": ["../x/tokenizer.4.0.json"]}', b"\xff\xfe{"],
)
def test_settings_of_a_tokenizer_that_cannot_be_are_refused(
    settings: bytes, skim_path: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(skim_path, tmp_path / "model")
    (folder / "tokenizer_config.json").write_bytes(settings)
    with pytest.raises(OSError, match=r"tokenizer_config\.json"):
        pipeline(model=folder)
