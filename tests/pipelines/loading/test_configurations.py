"""A model whose kind nothing here knows: the message says which one, why, and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig
from typer.testing import CliRunner

from temporal.models import FrameExitConfig
from temporal.pipelines import pipeline
from temporal.pipelines.command.cli import app
from temporal.pipelines.loading.configurations import open_configuration
from temporal.pipelines.loading.load import load_model


def folder_with(tmp_path: Path, config: Any) -> str:
    folder = tmp_path / "stranger"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


@pytest.mark.parametrize("task", [None, "video-classification", "text-classification"])
def test_an_unknown_kind_is_named_with_where_it_may_come_from(
    tmp_path: Path, task: str | None
) -> None:
    place = folder_with(tmp_path, {"model_type": "leap_frog", "architectures": ["LeapFrog"]})
    with pytest.raises(ValueError) as told:
        pipeline(task, model=place)
    message = str(told.value)
    assert place in message and "'leap_frog'" in message
    for part in ("temporal.plugins", "temporal.models.register", "install", "upgrade"):
        assert part in message


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"architectures": ["LeapFrog"]}, "has no model_type"),
        ({"model_type": 3}, "has model_type 3, which is no name"),
        ({"model_type": ["bert"]}, r"has model_type \['bert'\], which is no name"),
        ({"model_type": ""}, "has model_type '', which is no name"),
    ],
)
def test_a_configuration_that_names_no_kind(tmp_path: Path, config: Any, what: str) -> None:
    place = folder_with(tmp_path, config)
    with pytest.raises(ValueError, match=what) as told:
        load_model("text-classification", place)
    assert place in str(told.value) and "save_pretrained" in str(told.value)


def test_what_has_a_reason_of_its_own_keeps_it(tmp_path: Path) -> None:
    BertConfig().save_pretrained(tmp_path / "bert")
    assert open_configuration(tmp_path / "bert").model_type == "bert"
    out_of_range = {**FrameExitConfig().to_dict(), "num_frames": 0}
    with pytest.raises(ValueError, match=r"num_frames \(0\)"):
        open_configuration(folder_with(tmp_path, out_of_range))
    code = {"model_type": "leap_frog", "auto_map": {"AutoConfig": "configuration.LeapFrogConfig"}}
    (tmp_path / "stranger" / "config.json").write_text(json.dumps(code))
    with pytest.raises(ValueError, match="trust_remote_code"):
        open_configuration(tmp_path / "stranger")
    with pytest.raises(OSError):
        open_configuration(tmp_path / "nothing")


@pytest.mark.parametrize(
    "words",
    [
        ["card", "{}"],
        ["run", "text-classification", "{}/texts.csv", "--model", "{}", "-o", "{}/out"],
    ],
)
def test_the_command_line_says_it_in_one_sentence(tmp_path: Path, words: list[str]) -> None:
    place = folder_with(tmp_path, {"model_type": "leap_frog"})
    (Path(place) / "texts.csv").write_text("text\na good film\n")
    ended = CliRunner().invoke(app, [word.format(place) for word in words])
    assert (
        ended.exit_code == 2 and "'leap_frog'" in ended.output and "Traceback" not in ended.output
    )
    assert "temporal.plugins" in ended.output.replace("\n", " ")
