"""Any reader is calibrated by what it says of itself: readers, ordinary classifiers, strangers."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from temporal.models import READERS, RECORDS, ReaderRecord, register
from temporal.models.operating_points import apply_point
from temporal.models.rows_seen import Shown, load_rows_seen
from temporal.models.weights import digest_of_weights
from temporal.pipelines import pipeline
from temporal.pipelines.calibration.calibrate import CannotCalibrate, calibrate
from temporal.pipelines.calibration.offered import Offered
from temporal.pipelines.calibration.options import CalibrationOptions, CheckOptions
from temporal.pipelines.calibration.run import open_reader, run_calibration, run_check

from ..conftest import VOCABULARY, make_tokenizer, words


@dataclass
class Rows:
    """Held-out inputs without labels: the full reading's answers stand in."""

    inputs: list[str]
    labels: Tensor | None = None
    report: dict[str, Any] = field(default_factory=lambda: {"used": 7})
    shown: Shown = field(default_factory=lambda: Shown(rows=frozenset({5})))


def mean_macs(pipe: Any, inputs: list[str]) -> float:
    macs = [reading.trace.cost.macs for reading in pipe.read(inputs)]
    return sum(macs) / len(macs)


@pytest.fixture
def vit_with_processor(tmp_path: Path, vit_path: Path) -> Path:
    """An image classifier whose processor sees whole frames, and squeezes them."""
    folder = Path(shutil.copytree(vit_path, tmp_path / "vit"))
    settings = {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 32, "width": 32},
        "image_mean": [0.4, 0.5, 0.6],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


CLASSIFIERS = {
    "text": ("bert_path", {"chunk_size": 8}, "chunk_reader"),
    "frames": ("vit_path", {}, "frame_exit"),
    "whole frames": ("vit_with_processor", {}, "frame_exit"),
    "clips": ("video_mae_path", {}, "clip_reader"),
}


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_an_ordinary_classifier_becomes_a_reader_that_is_calibrated(
    kind: str, tmp_path: Path, videos: list[Path], request: pytest.FixtureRequest
) -> None:
    path, more, model_type = CLASSIFIERS[kind]
    classifier = request.getfixturevalue(path)
    task = f"{'text' if kind == 'text' else 'video'}-classification"
    inputs = [words(seed, 30 + seed) for seed in range(12)]
    if kind != "text":
        inputs = [str(video) for video in videos]
    before = {file.name: file.read_bytes() for file in classifier.iterdir()}
    options = CalibrationOptions(budget=1.0, **more)
    with pytest.raises(
        ValueError, match=r"--model .* is no folder with a saved reader.*output_dir"
    ):
        run_calibration(task, classifier, options, lambda _: Rows(inputs), seed=0)
    options.output_dir = str(tmp_path / "reader")
    report = run_calibration(task, classifier, options, lambda _: Rows(inputs), seed=0)
    assert {file.name: file.read_bytes() for file in classifier.iterdir()} == before
    assert report["rows"] == {"used": 7} and report["full"]["risk"] == "disagreement"

    config = json.loads((tmp_path / "reader" / "config.json").read_text())
    assert config["model_type"] == model_type
    points = config["operating_points"]
    assert len(points) == report["stored"] >= 3
    shares = [point["cost_share"] for point in points]
    assert shares == sorted(shares, reverse=True) and shares[0] == 1
    seen = load_rows_seen(tmp_path / "reader")
    assert seen is not None and seen.of("calibration").rows == {5}

    # What was measured is what a user's pipeline does, at any of the points.
    for point in (points[0], points[-1]):
        pipe = pipeline(task, str(tmp_path / "reader"), budget=point["cost_share"])
        assert pipe.operating_point["policy"] == point["policy"]
        assert mean_macs(pipe, inputs) == pytest.approx(point["cost"])
    full = pipeline(task, str(tmp_path / "reader"), max_drop=0.0)
    plain = open_reader(task, classifier, chunk_size=options.chunk_size)
    for ours, theirs in zip(full.read(inputs), plain.read(inputs), strict=True):
        assert ours.classes == theirs.classes and not ours.trace.halted
        scores = [[row["score"] for row in reading.predictions] for reading in (ours, theirs)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-6)

    assert {point["weights"] for point in points} == {digest_of_weights(tmp_path / "reader")}

    # Once it is a reader it is calibrated where it is, and checked.
    again = CalibrationOptions(budget=1.0)
    assert (
        run_calibration(
            task, tmp_path / "reader", again, lambda _: Rows(inputs, report={}), seed=0
        )["full"]["cost"]
        == report["full"]["cost"]
    )
    checked = run_check(
        task, tmp_path / "reader", CheckOptions(max_drop=1.0), lambda _: Rows(inputs)
    )
    assert checked["sources"] == len(inputs) and checked["holds"]


def test_inputs_that_cannot_be_read_are_left_out_and_named(
    tmp_path: Path, videos: list[Path], frame_exit_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    inputs = [str(videos[0]), str(tmp_path / "bad.mp4"), str(tmp_path / "none.mp4")]
    inputs += [str(video) for video in videos[1:]]
    pipe = open_reader("video-classification", frame_exit_path)
    # The labels of what is left out are left out with it: each answer is right.
    labels = torch.tensor(
        [reading.classes[0] if reading.classes else 9 for reading in full(pipe, inputs)]
    )
    found = calibrate(pipe, inputs, labels, CalibrationOptions(budget=1.0), seed=0)
    assert found.points[0].num_calibration == 6 and found.points[0].accuracy == 1
    told = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert [line.split(":")[0] for line in told] == [f"left out {path}" for path in inputs[1:3]]


def full(pipe: Any, inputs: list[str]) -> list[Any]:
    apply_point(pipe.model.config, {"policy": pipe.reader.policy_space().full})
    return list(pipe.read(inputs, top_k=1))


def test_sources_are_offered_one_at_a_time_and_texts_in_their_order(
    videos: list[Path], frame_exit_path: Path, early_exit_path: Path
) -> None:
    pipe = open_reader("video-classification", frame_exit_path)
    offered = Offered(pipe, [str(video) for video in videos[:3]])
    opened = []
    for video in offered:
        opened.append(video)
        assert len(video) == 30
    assert offered.positions == [0, 1, 2]
    texts = [words(0, 3), words(1, 20), "", words(2, 7)]
    offered = Offered(open_reader("text-classification", early_exit_path), texts)
    assert [len(text) for text in offered] == [5, 22, 9]
    assert offered.positions == [0, 1, 3] and list(offered.faults) == [2]


@pytest.mark.parametrize(
    ("path", "given", "message"),
    [
        ("skim_path", {"per_exit": True}, "--per_exit .* are for readers with fixed exits"),
        ("skim_path", {"criterion": "margin"}, r"--criterion \(margin\) is for readers with exits"),
        ("early_exit_path", {"criterion": "hope"}, r"--criterion \('hope'\) must be one of"),
    ],
)
def test_options_that_are_not_for_a_reader_are_refused(
    path: str, given: dict[str, Any], message: str, request: pytest.FixtureRequest
) -> None:
    pipe = open_reader("text-classification", request.getfixturevalue(path))
    with pytest.raises(ValueError, match=message):
        calibrate(pipe, [words(0, 5)], None, CalibrationOptions(budget=1.0, **given), seed=0)


STRANGER = '''
import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from temporal.checks import check_range
from temporal.models.policy_space import PolicySpace
from temporal.models.saved_reader import SavedReader

class FirstWordsConfig(PreTrainedConfig):
    model_type = "first_words"
    policy_fields = ("share",)
    share: float = 1.0
    vocab_size: int = 100
    operating_points: list | None = None

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        check_range("share", self.share, 0.0, 1.0)

class FirstWords(SavedReader, PreTrainedModel):
    """The sum of the first words' scores."""
    config_class = FirstWordsConfig
    unit = "token"

    def __init__(self, config):
        super().__init__(config)
        self.scores = nn.Embedding(config.vocab_size, config.num_labels)
        self.post_init()

    def policy_space(self):
        return PolicySpace.of_field("share", [1.0, 0.5, 0.25])

    async def read(self, document):
        count = max(1, int(self.config.share * len(document)))
        return self.scores(await document.read(range(count))).sum(0)
'''


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A reader that is not of this library: one file, and a line that registers it."""
    (tmp_path / "first_words_of_mine.py").write_text(STRANGER)
    monkeypatch.syspath_prepend(str(tmp_path))
    register(
        ReaderRecord(
            "first_words_of_mine",
            "FirstWords",
            "AutoModelForSequenceClassification",
            model_type="first_words",
        )
    )
    yield READERS["first_words"]
    RECORDS.pop("first_words")
    sys.modules.pop("first_words_of_mine")


def test_a_reader_of_ones_own_brings_its_knob_and_is_calibrated(
    stranger: Any, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    folder = tmp_path / "saved"
    stranger(stranger.config_class(vocab_size=len(VOCABULARY), num_labels=3)).save_pretrained(
        folder
    )
    make_tokenizer().save_pretrained(folder)
    texts = [words(seed, 4 * (1 + seed % 5)) for seed in range(40)]
    # The cost that the pipeline counts is up to the reader's stages, and this one has none: ms.
    options = CalibrationOptions(max_drop=0.9, measured=True, cost_unit="ms")
    report = run_calibration("text-classification", folder, options, lambda _: Rows(texts), seed=0)
    assert report["full"]["policy"] == {"share": 1.0}
    stored = json.loads((folder / "config.json").read_text())
    assert stored["share"] == report["chosen"]["policy"]["share"]
    pipe = pipeline("text-classification", str(folder), max_drop=0.0)
    assert {reading.trace.share_read for reading in pipe.read(texts)} == {1.0}
    # Its configuration is the judge of what its own field may be.
    for value in (7.0, "much", None, float("nan")):
        stored["operating_points"][0]["policy"]["share"] = value
        (folder / "config.json").write_text(json.dumps(stored))
        with pytest.raises(ValueError, match=r"operating_points\[0\]: policy:.*share"):
            pipeline("text-classification", str(folder))


def test_a_reader_without_knobs_says_so(stranger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(stranger, "policy_space")
    reader = stranger(stranger.config_class(vocab_size=len(VOCABULARY)))
    pipe = pipeline("text-classification", reader, tokenizer=make_tokenizer())
    with pytest.raises(ValueError, match=r"first_words.*no policy_space\(\)"):
        calibrate(pipe, [words(0, 5)], None, CalibrationOptions(budget=1.0), seed=0)


def test_a_video_in_one_clip_has_nothing_to_turn(video_mae_path: Path, videos: list[Path]) -> None:
    pipe = pipeline("video-classification", str(video_mae_path))
    with pytest.raises(CannotCalibrate, match=r"num_clips \(None\) is one clip"):
        calibrate(pipe, [str(videos[0])], None, CalibrationOptions(budget=1.0), seed=0)
