"""What a reader was shown goes with every copy of it, and rows are known by their content."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    ViTConfig,
    ViTForImageClassification,
)

import temporal.pipelines
from temporal.models import ChunkReader, EarlyExit, FrameExit, SkimRNN, SkimRNNConfig
from temporal.models.rows_seen import (
    FILE,
    RowsSeen,
    Shown,
    digest_file,
    digest_text,
    load_rows_seen,
    rows_seen_by,
    start_of,
)


def seen_of(*texts: str) -> RowsSeen:
    rows = frozenset(map(digest_text, texts))
    return RowsSeen(shown={"training": Shown(rows=rows, splits=({"file": "a.csv", "seed": 7},))})


def exits() -> EarlyExit:
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    config = BertConfig(vocab_size=20, num_hidden_layers=2, **sizes)
    return EarlyExit.from_classifier(BertForSequenceClassification(config))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("A good film.", "a  GOOD\nfilm. ", True),
        ("a \\/ b", "a / b", True),
        ("caf\u00e9", "cafe\u0301", True),  # one letter, composed and not
        ("A good film.", "A good film!", False),
        ("a good film", "a goodfilm", False),
    ],
)
def test_texts_are_the_same_row_by_their_words(one: str, other: str, same: bool) -> None:
    assert (digest_text(one) == digest_text(other)) == same


def test_files_are_the_same_row_by_their_bytes(tmp_path: Path) -> None:
    for name, content in (
        ("a", b"x" * 3_000_000),
        ("b", b"x" * 3_000_000),
        ("c", b"x" * 2_999_999),
    ):
        (tmp_path / name).write_bytes(content)
    a, b, c = (digest_file(tmp_path / name) for name in "abc")
    assert a == b != c


def test_a_record_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    seen = RowsSeen(
        shown={
            "training": Shown(
                rows=frozenset({0, 1, 2**64 - 1}),
                groups=frozenset({5}),
                splits=({"file": "a.csv", "seed": 7, "calibration_share": 0.1},),
            ),
            "calibration": Shown(rows=frozenset({9})),
        },
        started_from=("minilm",),
    )
    seen.save(tmp_path)
    assert load_rows_seen(tmp_path) == seen
    assert load_rows_seen(tmp_path / "other") is None
    assert seen.which([1, 9, 4], [None, 5, 4]) == {"training": [0, 1], "calibration": [1]}


@pytest.mark.parametrize(
    "damage",
    [
        lambda saved: saved.update(version=2),
        lambda saved: saved.pop("started_from"),
        lambda saved: saved["training"].update(num_rows=3),
        lambda saved: saved["training"].update(rows="!"),
        lambda saved: saved["training"].update(rows="AAAA"),
    ],
)
def test_a_damaged_record_is_no_empty_one(damage, tmp_path: Path) -> None:
    seen_of("a").save(tmp_path)
    saved = json.loads((tmp_path / FILE).read_text())
    damage(saved)
    (tmp_path / FILE).write_text(json.dumps(saved))
    with pytest.raises(ValueError, match=r"rows_seen\.json must be what training wrote"):
        load_rows_seen(tmp_path)


def test_every_copy_carries_the_record(tmp_path: Path) -> None:
    skim = SkimRNN(SkimRNNConfig(vocab_size=20, embedding_size=8, hidden_size=8, skim_size=2))
    for reader in (skim, exits()):
        reader.rows_seen = seen_of("a")
        folder = tmp_path / type(reader).__name__
        reader.save_pretrained(folder)
        again = type(reader).from_pretrained(folder)
        assert again.rows_seen == reader.rows_seen
        again.save_pretrained(tmp_path / "copy")
        assert load_rows_seen(tmp_path / "copy") == reader.rows_seen
        loaded, _ = type(reader).from_pretrained(folder, output_loading_info=True)
        assert loaded.rows_seen == reader.rows_seen


def test_what_the_encoder_inside_was_shown_counts(tmp_path: Path) -> None:
    encoder = exits()
    encoder.rows_seen = seen_of("a")
    reader = ChunkReader.from_classifier(encoder, ([2], [3]))
    assert rows_seen_by(reader) == seen_of("a")
    reader.rows_seen = seen_of("b")
    reader.save_pretrained(tmp_path)
    again = ChunkReader.from_pretrained(tmp_path)
    assert again.rows_seen == seen_of("a", "b")
    assert again.rows_seen.which([digest_text(t) for t in "abc"]) == {"training": [0, 1]}


def test_a_reader_without_a_record_leaves_none_behind(tmp_path: Path) -> None:
    seen_of("a").save(tmp_path)
    exits().save_pretrained(tmp_path)
    assert load_rows_seen(tmp_path) is None
    assert EarlyExit.from_pretrained(tmp_path).rows_seen is None


def test_what_is_not_known_stays_so_by_name(tmp_path: Path) -> None:
    assert start_of(tmp_path, "old") == RowsSeen(started_from=("old",))
    calibrated = RowsSeen(training_known=False).with_use("calibration", Shown(rows=frozenset({1})))
    calibrated.save(tmp_path)
    start = start_of(tmp_path, "old")
    assert start.training_known and start.started_from == ("old",)
    assert (start | seen_of("a")).started_from == ("old",)
    assert (start | seen_of("a")).of("training").rows == {digest_text("a")}


def test_readers_of_frames_carry_it_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vit = ViTConfig(**sizes, intermediate_size=16, image_size=32, patch_size=16)
    reader = FrameExit.from_classifier(ViTForImageClassification(vit), image_size=32, num_frames=2)
    reader.rows_seen = seen_of("clip")
    reader.save_pretrained(tmp_path)
    assert FrameExit.from_pretrained(tmp_path).rows_seen == seen_of("clip")


def test_a_record_too_large_to_ship_names_what_it_leaves_out(tmp_path: Path) -> None:
    learned = Shown(rows=frozenset({1, 2, 3, 4}))
    seen = RowsSeen(shown={"training": learned, "calibration": Shown(rows=frozenset({9}))})
    small = seen.listing(frozenset({2, 4, 9}), ["phrases"])
    assert small.of("training").rows == {2, 4} and small.of("calibration").rows == {9}
    small.save(tmp_path)
    assert load_rows_seen(tmp_path) == small
    assert (small | RowsSeen(unlisted=("more", "phrases"))).unlisted == ("phrases", "more")


def test_the_bundled_reader_knows_the_reviews_that_it_was_trained_on() -> None:
    folder = Path(temporal.pipelines.__file__).parent / "defaults" / "review-skim-rnn"
    seen = load_rows_seen(folder)
    assert seen is not None and len(seen.unlisted) == 3
    training, calibration = seen.of("training").rows, seen.of("calibration").rows
    assert (len(training), len(calibration)) == (22_407, 2_497)  # different ones
    assert not training & calibration
    assert (folder / "rows_seen.json").stat().st_size < 300_000
