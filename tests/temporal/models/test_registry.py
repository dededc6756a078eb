"""Readers by name: in the registry, in `temporal.models`, and in transformers' Auto classes."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import transformers
from transformers import AutoConfig, BertConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

import temporal.models
from temporal.models import READERS, RECORDS, ReaderRecord, register

OWN = """
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from temporal.models.reader import Reader

class OwnConfig(PreTrainedConfig):
    model_type = "own_reader"

class OwnReader(Reader, PreTrainedModel):
    config_class = OwnConfig
    unit = "token"

    def __init__(self, config):
        super().__init__(config)
        self.layer = nn.Linear(2, 2)
        self.post_init()
"""


@pytest.mark.parametrize("name", RECORDS)
def test_every_way_to_a_reader_leads_to_one_class(name: str) -> None:
    record = RECORDS[name]
    reader: Any = READERS[name]
    assert reader is record.reader_class is getattr(temporal.models, record.reader)
    assert reader.config_class is record.config_class is getattr(temporal.models, record.config)
    assert record.model_type == name == reader.config_class.model_type
    assert CONFIG_MAPPING[name] is reader.config_class
    auto = getattr(transformers, record.auto_class)
    assert auto._model_mapping[reader.config_class] is reader
    assert reader in auto._model_mapping.values()
    assert name in CONFIG_MAPPING and name in list(CONFIG_MAPPING)


def test_tools_that_read_types_see_what_is_exported() -> None:
    path = Path(temporal.models.__file__)
    (block,) = (node for node in ast.parse(path.read_text()).body if isinstance(node, ast.If))
    shown = {alias.asname for node in block.body for alias in getattr(node, "names", [])}
    classes = {name for record in RECORDS.values() for name in (record.reader, record.config)}
    others = {"ClipReader", "EfficientNetLite0", "GivenFeatures", "RunningMeanPolicy"}
    others |= {"VideoLanguageReader", "VideoLanguageConfig", "Question", "Asked"}
    assert shown == classes | others
    assert shown <= set(dir(temporal.models))


@pytest.mark.parametrize("is_first", [True, False])
def test_auto_classes_load_a_saved_reader_in_a_new_process(tmp_path: Path, is_first: bool) -> None:
    config = READERS["skim_rnn"].config_class(vocab_size=9, hidden_size=4, skim_size=2)
    READERS["skim_rnn"](config).save_pretrained(tmp_path)
    lines = [
        "import temporal.models",
        "from transformers import AutoConfig, AutoModelForSequenceClassification as Auto",
    ]
    code = "\n".join(
        [
            *(lines if is_first else lines[::-1]),
            "assert not hasattr(Auto, 'nothing')",
            f"print(type(AutoConfig.from_pretrained({str(tmp_path)!r})).__name__)",
            f"print(type(Auto.from_pretrained({str(tmp_path)!r})).__name__)",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["SkimRNNConfig", "SkimRNN"]


def test_what_transformers_has_stays_as_it_was() -> None:
    assert CONFIG_MAPPING["bert"] is BertConfig
    auto = transformers.AutoModelForSequenceClassification
    assert auto._model_mapping[BertConfig] is transformers.BertForSequenceClassification
    assert RECORDS["frame_exit"].config_class not in auto._model_mapping
    with pytest.raises(KeyError):
        _ = auto._model_mapping[RECORDS["frame_exit"].config_class]
    with pytest.raises(ValueError, match="no_such_reader"):
        AutoConfig.for_model("no_such_reader")


def test_a_reader_of_ones_own_is_registered_by_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_reader_module.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    record = ReaderRecord(
        "own_reader_module",
        "OwnReader",
        "AutoModelForTokenClassification",
        config="OwnConfig",
        model_type="own_reader",
    )
    monkeypatch.setitem(RECORDS, "own_reader", record)  # is taken away afterwards
    register(record)
    register(record)  # a cell of a notebook that is run again
    assert "own_reader_module" not in sys.modules
    config = AutoConfig.for_model("own_reader")
    reader = transformers.AutoModelForTokenClassification.from_config(config)
    assert type(reader) is READERS["own_reader"]
    reader.save_pretrained(tmp_path / "saved")
    again = transformers.AutoModelForTokenClassification.from_pretrained(tmp_path / "saved")
    assert type(again) is type(reader)


@pytest.mark.parametrize("name", ["skim_rnn", "bert"])
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    record = ReaderRecord("somewhere", "Other", "AutoModelForTokenClassification", model_type=name)
    with pytest.raises(ValueError, match=f"model_type .'{name}'. must be one that"):
        register(record)
    assert RECORDS.get(name) != record


def test_a_record_of_another_model_type_is_told_apart() -> None:
    record = ReaderRecord(".recurrent.skim_rnn", "SkimRNN", "Auto", model_type="skims")
    with pytest.raises(ValueError, match="model_type='skim_rnn'"):
        _ = record.config_class
