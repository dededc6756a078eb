"""The options that `transformers.pipeline` takes about the model, and models in wrappers."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import BertForSequenceClassification

from temporal.pipelines import pipeline
from temporal.pipelines.loading import places
from temporal.pipelines.loading.load import load_model

from ..conftest import make_bert, make_tokenizer

HALVES = ("bfloat16", torch.float16)


def scores(pipe: Any, inputs: Any) -> list[dict[str, float]]:
    """Of all classes, by name, for each input."""
    readings = list(pipe.read(inputs, top_k=None))
    assert [reading.error for reading in readings] == [None] * len(readings)
    return [{p["label"]: p["score"] for p in reading.predictions} for reading in readings]


def assert_near(ours: Any, expected: Any, tolerance: float) -> None:
    for one, other in zip(ours, expected, strict=True):
        assert one == pytest.approx(other, abs=tolerance)


# Numbers of fewer bits ----


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("options", [{}, {"budget": 1.0, "chunk_size": 5}])
def test_text_classifiers_in_half_precision(
    bert_path: Path, texts: list[str], dtype: Any, options: dict[str, Any]
) -> None:
    whole = pipeline("text-classification", bert_path, device="cpu", **options)
    half = pipeline("text-classification", bert_path, device="cpu", dtype=dtype, **options)
    assert half.model.encoder.classifier.dtype in (torch.bfloat16, torch.float16)
    assert_near(scores(half, texts), scores(whole, texts), 0.1)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("model", ["early_exit_path", "skim_path"])
def test_text_readers_in_half_precision(
    model: str, dtype: Any, request: pytest.FixtureRequest, texts: list[str]
) -> None:
    path = request.getfixturevalue(model)
    options = (
        {"device": "cpu", "policy": "confidence:1.1"} if "exit" in model else {"device": "cpu"}
    )
    half = pipeline("text-classification", path, dtype=dtype, **options)
    assert_near(scores(half, texts), scores(pipeline(None, path, **options), texts), 0.15)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("model", ["vit_path", "video_mae_path", "frame_exit_path"])
def test_video_models_in_half_precision(
    model: str, dtype: Any, request: pytest.FixtureRequest, videos: list[Path]
) -> None:
    path = request.getfixturevalue(model)
    half = pipeline("video-classification", path, dtype=dtype, device="cpu")
    whole = pipeline("video-classification", path, device="cpu")
    assert_near(scores(half, videos[:2]), scores(whole, videos[:2]), 0.1)


def test_how_weights_are_loaded(bert_path: Path, tmp_path: Path) -> None:
    def dtype_of(path: Path = bert_path, **options: Any) -> torch.dtype:
        loaded = pipeline("text-classification", path, device="cpu", **options)
        return loaded.model.encoder.classifier.dtype

    BertForSequenceClassification.from_pretrained(bert_path).half().save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    assert dtype_of(tmp_path) == torch.float32  # whatever is stored
    assert dtype_of(tmp_path, dtype="auto") == torch.float16
    assert dtype_of(torch_dtype="bfloat16") == torch.bfloat16
    assert dtype_of(model_kwargs={"dtype": torch.bfloat16}) == torch.bfloat16
    eager = pipeline(
        "text-classification",
        bert_path,
        model_kwargs={"attn_implementation": "eager", "local_files_only": True},
        device="cpu",
    )
    assert eager.model.encoder.classifier.config._attn_implementation == "eager"


def test_options_of_transformers_are_honoured_or_of_no_effect(
    bert_path: Path, texts: list[str]
) -> None:
    expected = transformers.pipeline("text-classification", str(bert_path), device="cpu")(texts)
    for options in (
        {"token": None, "revision": "main", "framework": "pt", "num_workers": 2, "use_fast": True},
        {"model_kwargs": {}, "device_map": "auto", "config": str(bert_path)},
        {"device_map": {"": "cpu"}, "tokenizer": bert_path, "feature_extractor": None},
        {"device": -1, "trust_remote_code": None, "config": make_bert().config},
    ):
        pipe = pipeline("sentiment-analysis", bert_path, **options)
        for one, other in zip(pipe(texts, num_workers=1), expected, strict=True):
            assert one["label"] == other["label"]
            assert one["score"] == pytest.approx(other["score"], abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "int8"}, r"dtype \('int8'\) must be 'auto' or one of"),
        ({"dtype": "float16", "torch_dtype": "bfloat16"}, "give one"),
        ({"dtype": "float16", "model_kwargs": {"dtype": "bfloat16"}}, "give one"),
        ({"device": "cpu", "device_map": "auto"}, r"device \('cpu'\) and device_map"),
        ({"framework": "tf"}, r"framework \('tf'\) must be 'pt'"),
        ({"model_kwargs": {"use_safetensors": False}}, "a pickle may run code"),
        ({"pipeline_class": object}, "pipeline_class is not taken"),
        ({"return_all_scores": True}, "top_k=None"),
        ({"batchsize": 3}, r"option 'batchsize' of text-classification must be one of \["),
        ({"function_to_apply": "relu"}, r"function_to_apply \('relu'\) must be one of"),
    ],
)
def test_what_is_refused_says_why(bert_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        pipeline("text-classification", bert_path, **options)("w1")


def test_options_of_loading_are_not_for_what_is_loaded(skim_path: Path) -> None:
    with pytest.raises(ValueError, match="dtype is for models that are loaded here"):
        pipeline(None, make_bert(), tokenizer=make_tokenizer(), dtype="bfloat16")
    with pytest.raises(ValueError, match=r"device_map \('auto'\) is for classifiers of transf"):
        pipeline("text-classification", skim_path, device_map="auto")


# Which task ----


@pytest.mark.parametrize(
    ("model", "task"),
    [
        ("bert_path", "text-classification"),
        ("early_exit_path", "text-classification"),
        ("skim_path", "text-classification"),
        ("vit_path", "video-classification"),
        ("video_mae_path", "video-classification"),
        ("frame_exit_path", "video-classification"),
    ],
)
def test_a_model_says_which_task_it_is_for(
    model: str, task: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(model)
    assert pipeline(model=path, device="cpu").task == task
    loaded = pipeline(model=str(path), device="cpu").reader
    if task == "text-classification" and model != "bert_path":
        assert pipeline(model=loaded, tokenizer=path, device="cpu").task == task


def test_a_task_that_cannot_be_known_is_asked_for(bert_path: Path, vit_path: Path) -> None:
    with pytest.raises(ValueError, match="give a task, one of"):
        pipeline()
    with pytest.raises(ValueError, match="does not say which task it is for .its class: Linear"):
        pipeline(model=torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match=r"a model is given as model="):
        pipeline(str(bert_path))
    with pytest.raises(ValueError, match="holds ViTForImageClassification, which is no model for"):
        pipeline("text-classification", vit_path)


# Wrappers ----


class _Adapters(torch.nn.Module):
    """As peft wraps a model: what it computes is not what the base model computes alone."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.base_model = model

    def get_base_model(self) -> Any:
        return self.base_model

    def forward(self, **inputs: Any) -> Any:
        output = self.base_model(**inputs)
        output.logits = -output.logits
        return output


def test_wrapped_models_are_read_as_they_compute(texts: list[str]) -> None:
    model, tokenizer = make_bert(), make_tokenizer()
    plain = scores(pipeline(None, model, tokenizer=tokenizer, device="cpu"), texts)
    for wrapped in (
        torch.compile(model, backend="eager"),
        torch.nn.DataParallel(model),
        torch.nn.DataParallel(torch.compile(model, backend="eager")),
    ):
        for options in ({}, {"budget": 1.0}):
            pipe = pipeline(
                "text-classification", wrapped, tokenizer=tokenizer, device="cpu", **options
            )
            assert type(pipe.reader.encoder.classifier) is type(wrapped)
            assert_near(scores(pipe, texts), plain, 1e-5)
    adapted = pipeline(None, _Adapters(model), tokenizer=tokenizer, device="cpu")
    with torch.no_grad():
        expected = (-model(**tokenizer(texts[0], return_tensors="pt")).logits[0]).softmax(-1)
    assert list(scores(adapted, texts[:1])[0].values()) == pytest.approx(
        sorted(expected.tolist(), reverse=True), abs=1e-5
    )


def test_wrapped_video_models(vit_path: Path, video_mae_path: Path, videos: list[Path]) -> None:
    for path in (vit_path, video_mae_path):
        classifier = pipeline(model=path, device="cpu").model
        inner = getattr(getattr(classifier, "backbone", None), "model", classifier)
        expected = scores(pipeline(model=inner, image_processor=None, device="cpu"), videos[:1])
        wrapped = pipeline(model=torch.compile(inner, backend="eager"), device="cpu")
        assert_near(scores(wrapped, videos[:1]), expected, 1e-5)


# Folders ----


def changed(source: Path, folder: Path, change: Any, **config: Any) -> Path:
    """A copy of a model whose weights and configuration are changed."""
    shutil.copytree(source, folder)
    save_file(change(load_file(folder / "model.safetensors")), folder / "model.safetensors")
    stored = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(stored | config))
    return folder


@pytest.mark.parametrize("model", ["bert_path", "vit_path", "video_mae_path"])
def test_weights_that_are_not_the_models_are_refused(
    model: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(model)

    def without(part: str) -> Any:
        return lambda weights: {k: w for k, w in weights.items() if part not in k}

    def renamed(weights: Any) -> Any:
        return {f"other.{name.partition('.')[2]}": weight for name, weight in weights.items()}

    for number, (change, config, message) in enumerate(
        (
            (without("classifier."), {}, "lacks weights of .* drawn at random"),
            (without("layer.0."), {}, "lacks weights of "),
            (renamed, {}, "and it holds others .*another prefix"),
            (dict, {"num_hidden_layers": 0}, "more layers than its configuration"),
        )
    ):
        folder = changed(path, tmp_path / str(number), change, **config)
        with pytest.raises(ValueError, match=message):
            pipeline(model=folder)
    same = changed(path, tmp_path / "same", dict)
    assert pipeline(model=same).model_name == str(same)


def test_words_are_known_or_a_folder_is_refused(bert_path: Path, tmp_path: Path) -> None:
    """As with `AutoTokenizer` a list of words is enough; without one all would be unknown."""
    folder = tmp_path / "words"
    shutil.copytree(bert_path, folder)
    for file in folder.glob("*token*"):
        file.unlink()
    with pytest.raises(OSError, match="no vocabulary, and every word would be unknown"):
        pipeline(model=folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{k}" for k in range(55))]
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = pipeline(model=folder, device="cpu").tokenizer
    assert tokenizer("w3 w4")["input_ids"] == [2, 8, 9, 3]
    (folder / "vocab.txt").unlink()
    (folder / "spiece.model").write_bytes(b"no model of sentencepiece")
    config = json.loads((folder / "config.json").read_text())
    with pytest.raises(OSError, match="no vocabulary|no tokenizer that can be read here"):
        pipeline(model=folder)
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "XLNetTokenizer"}')
    with pytest.raises(OSError, match="no vocabulary|no tokenizer that can be read here"):
        pipeline(model=folder)
    assert config["model_type"] == "bert"


# Places ----


def test_a_mistyped_path_fails_at_once(
    bert_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "mine").mkdir(parents=True)
    (tmp_path / "file").write_text("text")

    def nobody(*args: Any, **options: Any) -> Any:
        raise OSError("no route")

    monkeypatch.setattr(socket, "create_connection", nobody)
    monkeypatch.setattr(places, "is_offline_mode", lambda: False)
    for name in places._PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for place, message in (
        ("models/mien", r"models has no such folder, but \['mine'\]"),
        ("./mien", "there is no such folder"),
        ("~/no/such/folder", "there is no such folder"),
        ("a/b/c", "there is no such folder"),
        ("file", "this is a file"),
        ("my model", "Repo id must"),
        ("mien", r"the hub cannot be asked \(.*no route\)"),
        ("somebody/mien", r"the hub cannot be asked \(.*no route\)"),
    ):
        for task in ("text-classification", "video-classification", None):
            with pytest.raises(OSError, match=message):
                pipeline(task, place)
        with pytest.raises(OSError, match=rf"tokenizer \('{place}'\) must be"):
            load_model("text-classification", bert_path, tokenizer=place)
    monkeypatch.setattr(places, "is_offline_mode", lambda: True)
    with pytest.raises(OSError, match="must not be asked"):
        pipeline("text-classification", "somebody/mien")
