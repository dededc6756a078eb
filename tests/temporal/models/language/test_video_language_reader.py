"""A video-language model that halts says what it says when it is called once, of every family."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers.video_utils import VideoMetadata

from temporal.backbones.video_language import chosen_inputs, load_language_processor
from temporal.data.frames import Frames
from temporal.engine import Engine
from temporal.models.language.encoding import repeats
from temporal.models.language.every_look import EveryLook, LooksTaken, language_space
from temporal.models.language.plan import looks_of, units_of
from temporal.models.language.question import Asked, Question, chat_question, prompt_of
from temporal.models.language.said import Said, certainty_of, of_options, of_words
from temporal.models.language.video_language_reader import VideoLanguageReader
from temporal.models.selection.clock import metadata_fields
from temporal.models.selection.image_text import ImageText
from temporal.training.question_points import question_points

from .families import FAMILIES, family

WRITES = {"max_new_tokens": 5, "do_sample": False}
OPTIONS = ("A", "B", "a red car")
QUICK = ("Qwen2.5-VL", "SmolVLM2", "LLaVA-OneVision")
SOME_OF_THEM = [
    pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in FAMILIES
]


def video(num_frames: int = 21, seed: int = 0, height: int = 48, width: int = 64) -> Frames:
    made = np.random.default_rng(seed).integers(0, 256, (num_frames, height, width, 3))
    return Frames(made.astype(np.uint8))


def reader_of(name: str, **settings: object) -> VideoLanguageReader:
    model, processor = family(name)
    reader = VideoLanguageReader(model, processor, **settings)
    reader.answering.generation = dict(WRITES)
    return reader


def one_call(name: str, source: Frames, frames: tuple[int, ...], text: str) -> dict[str, object]:
    """The inputs of the ordinary call on frames."""
    _, processor = family(name)
    at = list(frames)
    metadata = VideoMetadata(**metadata_fields(source.index, at))
    return chosen_inputs(processor, [text], [source.read(at)], [metadata])


@pytest.mark.parametrize("name", FAMILIES)
def test_the_last_look_is_the_ordinary_call_and_so_is_every_other(name):
    model, processor = family(name)
    source = video()
    with torch.inference_mode():
        written = reader_of(name, num_frames=12)(Asked(source, "What happens?")).value
        chosen = reader_of(name, num_frames=12)(Asked(source, Question("Which?", OPTIONS))).value
        halted = reader_of(name, num_frames=12, threshold=0.0)(Asked(source, "What happens?")).value
    assert len(written.looks) == len(chosen.looks) == 3
    assert len(written.frames) == 12
    assert len(halted.looks) == 1
    assert len(halted.frames) == 4
    assert halted.text == written.looks[0].text
    for answer in (written, halted):
        inputs = one_call(name, source, answer.frames, prompt_of(processor, answer.question))
        alone = model.generate(**inputs, **WRITES)[0, inputs["input_ids"].shape[1] :].tolist()
        assert list(answer.looks[-1].tokens) == alone
    for option, score in zip(OPTIONS, chosen.looks[-1].scores, strict=True):
        tokens = processor.tokenizer(option, add_special_tokens=False)["input_ids"]
        text = prompt_of(processor, chosen.question) + option
        with torch.inference_mode():
            logits = model(**one_call(name, source, chosen.frames, text)).logits[0]
        logs = logits.double().log_softmax(-1)[-len(tokens) - 1 : -1]
        wanted = logs.gather(1, torch.tensor(tokens)[:, None]).sum()
        assert score == pytest.approx(float(wanted), abs=1e-4)


@pytest.mark.parametrize("name", SOME_OF_THEM)
def test_videos_in_flight_say_what_each_says_alone(name):
    asked = [
        (video(21, 1), Question("What?")),
        (video(5, 2), Question("Which of these is it, and why do you think so?", OPTIONS)),
        (video(1, 3), Question("A much longer question, which fills more of the prompt?")),
        (video(40, 4, 64, 48), Question("Which?", ("yes", "no"))),
    ]
    sources = [Asked(source, question) for source, question in asked]
    with torch.inference_mode():
        alone = [reader_of(name, num_frames=8)(source).value for source in sources]
        together = list(
            Engine(4, max_batch_size=8, deterministic=True).run(
                reader_of(name, num_frames=8).read, sources
            )
        )
    for one, other in zip(alone, together, strict=True):
        assert other.error is None
        assert [look.tokens for look in other.value.looks] == [look.tokens for look in one.looks]
        for looks in zip(one.looks, other.value.looks, strict=True):
            assert looks[0].scores == pytest.approx(looks[1].scores, abs=1e-4)
            assert looks[0].confidence == pytest.approx(looks[1].confidence, abs=1e-5)
        assert other.value.frames == one.frames


def test_what_no_look_asks_for_is_not_decoded_or_encoded():
    reader = reader_of("SmolVLM2", num_frames=16, threshold=0.0)
    outcome = reader(Asked(video(64), "What?"))
    assert outcome.trace.units_read == 4
    assert reader.encode.rows == 4
    assert reader.answer.rows == 1
    assert outcome.trace.visual_tokens == 4 * 4
    assert outcome.trace.halted
    assert outcome.trace.num_exits == 3
    assert outcome.trace.cost.layers == 2
    assert outcome.trace.cost.macs > 0
    reader = reader_of("SmolVLM2", num_frames=16)
    outcome = reader(Asked(video(64), "What?"))
    assert outcome.trace.units_read == 16
    assert reader.encode.rows == 16  # each once, though three looks saw them
    assert not outcome.trace.halted


@pytest.mark.parametrize("name", ["Qwen2-VL", "InternVL"])
def test_frames_that_cannot_be_read_are_done_without(name):
    class Torn(Frames):
        def read(self, units, **options):
            if 13 in units:
                raise ValueError("torn")
            return super().read(units, **options)

    pictures = np.asarray(video(20).read(range(20))).transpose(0, 2, 3, 1)
    outcome = reader_of(name, num_frames=8)(Asked(Torn(pictures), "What?"))
    assert str(outcome.fault) == "torn"
    frames = outcome.value.frames
    assert frames == (1, 3, 6, 8, 11, 16, 18)
    if name == "InternVL":
        inputs = one_call(name, video(20), frames, prompt_of(family(name)[1], Question("What?")))
        alone = family(name)[0].generate(**inputs, **WRITES)[0, inputs["input_ids"].shape[1] :]
        assert list(outcome.value.looks[-1].tokens) == alone.tolist()


def test_qwen_is_told_when_frames_are_shown():
    _, processor = family("Qwen3-VL")
    source = video(40)  # 40 frames at 1 a second
    reader = reader_of("Qwen3-VL", num_frames=8, threshold=0.0)
    frames = reader(Asked(source, "What?")).value.frames
    inputs = one_call("Qwen3-VL", source, frames, prompt_of(processor, Question("What?")))
    text = processor.tokenizer.decode(inputs["input_ids"][0])
    rate = metadata_fields(source.index, [0])["fps"]
    for first, second in zip(frames[::2], frames[1::2], strict=True):
        assert f"<{(first + second) / 2 / rate:.1f} seconds>" in text


def test_a_strangers_processor_samples_by_its_own_rule():
    model, _ = family("Qwen2-VL")
    from copy import deepcopy

    processor = deepcopy(family("Qwen2-VL")[1])
    processor.video_processor.do_sample_frames = True
    processor.video_processor.fps = 0.5 * metadata_fields(video(48).index, [0])["fps"]
    processor.video_processor.max_frames = 12
    reader = VideoLanguageReader(model, processor)
    reader.answering.generation = dict(WRITES)
    source = video(48)
    answer = reader(Asked(source, "What?")).value
    assert answer.frames == tuple(range(0, 48, 4))  # 24 at half the rate, and 12 at most
    own = processor(
        text=[prompt_of(processor, answer.question)],
        videos=[source.read(range(48))],
        video_metadata=[
            VideoMetadata(**{**metadata_fields(source.index, range(48)), "frames_indices": None})
        ],
        return_tensors="pt",
    )
    inputs = one_call("Qwen2-VL", source, answer.frames, prompt_of(processor, answer.question))
    assert torch.equal(own["pixel_values_videos"], inputs["pixel_values_videos"])
    assert torch.equal(own["input_ids"], inputs["input_ids"])


def test_a_budget_of_visual_tokens_is_kept():
    answer = reader_of("InternVL", num_frames=16, max_visual_tokens=22)(Asked(video(), "?")).value
    assert answer.visual_tokens == 20  # five frames of four
    assert len(answer.frames) == 5
    assert len(answer.looks) == 2
    answer = reader_of("InternVL", max_visual_tokens=1)(Asked(video(), "?")).value
    assert len(answer.frames) == 1  # fewer there cannot be


def test_tokens_that_repeat_are_dropped_where_that_is_asked_for():
    still = Frames(np.repeat(np.asarray(video(1).read([0])).transpose(0, 2, 3, 1), 8, 0))
    for name in ("Qwen3-VL", "LLaVA-OneVision", "InternVL"):
        whole = reader_of(name, num_frames=8, first_frames=8)(Asked(still, "?")).value
        reader = reader_of(name, num_frames=8, first_frames=8, repeat_threshold=0.9)
        fewer = reader(Asked(still, "?")).value
        units = 4 if name.startswith("Qwen") else 8
        ends = 1 if name == "LLaVA-OneVision" else 0
        places = (whole.visual_tokens - ends) // units
        assert fewer.visual_tokens == places + units - 1 + ends
        # Of frames that all differ, none is dropped, and nothing changes.
        reader.config.repeat_threshold = 1.0
        assert reader(Asked(video(), "?")).value.visual_tokens == whole.visual_tokens


def test_which_tokens_repeat():
    one = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    other = torch.tensor([[2.0, 0.1], [1.0, 0.0]])
    assert repeats([one, other], 0.9).tolist() == [False, False, True, False]
    assert repeats([one, one], 0.9).tolist() == [False, False, False, True]  # one is kept


def test_looks_halve_the_gaps_and_pairs_stay_together():
    assert units_of([0, 5, 9], 2) == [(0, 5), (9,)]
    config = reader_of("Qwen2-VL", first_frames=4).config
    assert looks_of(8, config, 2) == [[0, 4], [2, 7], [1, 3, 5, 6]]
    assert looks_of(1, config, 2) == [[0]]
    config.growth = 1.01
    assert [len(look) for look in looks_of(5, config, 1)] == [4, 1]


def test_how_certain_a_look_is():
    said = of_options(("A", "B", "C"), torch.tensor([0.6, 0.3, 0.1]).log())
    assert said.text == "A"
    assert said.confidence == pytest.approx(0.6)
    assert said.margin == pytest.approx(0.3)
    written = of_words("yes", [1, 2], [float(np.log(0.5)), float(np.log(0.125))], [0.25, -0.5])
    assert written.confidence == pytest.approx(0.25)  # the geometric mean
    assert written.margin == pytest.approx(-0.125)
    other = of_words("no", [3], [0.0], [1.0])
    assert certainty_of([other, written, said, said], "patience") == 2
    assert certainty_of([other], "margin") == 1


def test_policies_say_what_looks_said():
    def said(text: str, confidence: float) -> Said:
        return Said(text=text, confidence=confidence, margin=0.0)

    looks = [
        LooksTaken(said=(said("a", 0.9), said("b", 0.2), said("b", 0.1)), costs=(1.0, 2.0, 3.0)),
        LooksTaken(said=(said("c", 0.3), said("c", 0.6)), costs=(1.0, 2.0)),
    ]
    config = reader_of("InternVL").config
    every = EveryLook.of(config, dict(enumerate(looks)), {})
    texts, costs = every.under(
        [language_space(config).full, {"threshold": 0.5}, {"threshold": 0.0}]
    )
    assert [every.texts({"threshold": t}) for t in (None, 0.5)] == [["b", "c"], ["a", "c"]]
    assert (texts[0] == texts[1]).tolist() == [False, True]
    assert costs.tolist() == [[3.0, 2.0], [1.0, 2.0], [1.0, 1.0]]


def test_a_reader_reads_as_its_calibrated_answers_say():
    reader = reader_of("LLaVA-OneVision", num_frames=12)
    sources = [Asked(video(seed=seed), Question("Which?", ("A", "B"))) for seed in range(4)]
    every = reader.answers(sources)
    threshold = sorted(one.said[0].confidence for one in every.taken)[2]
    reader.config.threshold = threshold
    texts = [reader(source).value.text for source in sources]
    assert texts == every.texts({"threshold": threshold})
    looks = [len(reader(source).value.looks) for source in sources]
    assert sorted(looks) == [1, 1, 3, 3] or sorted(looks)[:2] == [1, 1]


@pytest.mark.parametrize("name", ["Qwen3-VL", "SmolVLM2"])
def test_saved_beside_the_model_and_loaded(name, tmp_path):
    reader = reader_of(name, num_frames=6, threshold=0.75)
    reader.save_pretrained(tmp_path)
    loaded = VideoLanguageReader.from_pretrained(tmp_path)
    loaded.answering.generation = dict(WRITES)
    assert loaded.config.threshold == 0.75
    assert type(loaded.processor).__name__ == type(reader.processor).__name__
    asked = Asked(video(), Question("Which?", ("A", "B")))
    looks = zip(loaded(asked).value.looks, reader(asked).value.looks, strict=True)
    assert all(one.scores == pytest.approx(other.scores, abs=1e-6) for one, other in looks)
    settings = loaded.processor.video_processor.to_dict()
    wanted = reader.processor.video_processor.to_dict()
    for field in ("size", "do_resize", "patch_size", "merge_size", "max_image_size"):
        assert settings.get(field) == wanted.get(field)
    assert load_language_processor(tmp_path).chat_template == reader.processor.chat_template


def test_points_are_certified_by_agreement(tmp_path):
    def said(text: str, confidence: float) -> Said:
        return Said(text=text, confidence=confidence, margin=0.0)

    # Of 100 questions the first look is sure of 80 and right, and unsure of 20 and wrong.
    sure = LooksTaken(said=(said("a", 0.97), said("a", 0.9)), costs=(4.0, 16.0))
    unsure = LooksTaken(said=(said("b", 0.2), said("a", 0.9)), costs=(4.0, 16.0))
    reader = reader_of("InternVL", num_frames=16)
    every = EveryLook.of(reader.config, dict(enumerate([sure] * 80 + [unsure] * 20)), {})
    points = question_points(every, count=4)
    assert points[0]["accuracy"] == 1
    assert points[0]["cost"] == 16
    assert points[0]["cost_unit"] == "frames"
    assert points[1]["cost"] == pytest.approx(0.8 * 4 + 0.2 * 16)
    assert points[1]["drop"] == 0
    assert 0.02 < points[1]["drop_bound"] < 0.04  # ln 20 / 100, about
    assert points[-1]["cost"] == 4
    assert points[-1]["drop"] == pytest.approx(0.2)
    with pytest.raises(ValueError, match="one for each of the 100"):
        question_points(every, ["a"])
    reader.config.operating_points = points
    reader.save_pretrained(tmp_path)
    loaded = VideoLanguageReader.from_pretrained(tmp_path)
    assert loaded.set_max_drop(0.05) == points[1]
    assert loaded.config.threshold == points[1]["policy"]["threshold"]
    assert loaded.set_budget(0.3) == points[-1]
    assert loaded.set_max_drop(0.0) == points[0]
    assert len(loaded(Asked(video(), "?")).value.looks) == 3


@pytest.mark.slow  # the bound of a drop is searched for
def test_points_by_right_answers_tell_what_is_lost_and_gained():
    def said(text: str, confidence: float) -> Said:
        return Said(text=text, confidence=confidence, margin=0.0)

    sure = LooksTaken(said=(said("a", 0.97), said("a", 0.9)), costs=(4.0, 16.0))
    unsure = LooksTaken(said=(said("b", 0.2), said("a", 0.9)), costs=(4.0, 16.0))
    reader = reader_of("InternVL", num_frames=16)
    few = EveryLook.of(reader.config, {0: sure, 2: unsure}, {1: ValueError("torn")})
    by_labels = question_points(few, ["a", "b", "b"], count=4)
    assert [point["accuracy"] for point in by_labels] == [0.5, 0.5, 1.0]
    assert by_labels[-1]["drop"] == -0.5  # the first looks were right


def test_frames_may_be_those_that_fit_the_question():
    reader = reader_of("InternVL", num_frames=4, order="query", scorer="a model")

    class Scores(ImageText):
        """Finds the second half of a video bright."""

        def __init__(self) -> None:
            pass

        def look_size(self, height: int, width: int) -> tuple[int, int]:
            return height, width

        def text_vector(self, text: str) -> np.ndarray:
            return np.array([1.0])

        def frame_vectors(self, frames: torch.Tensor) -> np.ndarray:
            return frames.double().mean((1, 2, 3))[:, None].numpy()

    pictures = np.zeros((40, 48, 64, 3), np.uint8)
    pictures[20:] = 200
    reader._scorer = Scores()
    answer = reader(Asked(Frames(pictures), "Where is it bright?")).value
    assert len(answer.frames) == 4
    assert min(answer.frames) >= 19
    with pytest.raises(ValueError, match="needs scorer"):
        reader_of("InternVL", order="query")


def test_a_chat_holds_one_video_and_texts():
    messages = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "video", "path": "a.mp4"}, {"type": "text", "text": "What?"}],
        },
    ]
    found, question = chat_question(messages)
    assert found == "a.mp4"
    _, processor = family("SmolVLM2")
    text = prompt_of(processor, question)
    assert "Be brief." in text
    assert text.count("<video>") == 1
    goes_on = [*messages, {"role": "assistant", "content": "It is"}]
    assert prompt_of(processor, chat_question(goes_on)[1]).endswith("It is")
    with pytest.raises(ValueError, match="one video, and this one holds 0"):
        chat_question([{"role": "user", "content": "What?"}])
    with pytest.raises(ValueError, match="must be a video or a text"):
        chat_question([{"role": "user", "content": [{"type": "image", "image": "x.png"}]}])


def test_what_cannot_be_is_said():
    with pytest.raises(ValueError, match="must come with a question"):
        reader_of("InternVL")(video())
    with pytest.raises(ValueError, match="two or more answers"):
        Question("?", ("A",))
    with pytest.raises(ValueError, match="growth"):
        reader_of("InternVL", growth=1)
    with pytest.raises(ValueError, match="policy"):
        reader_of("InternVL").set_policy("entropy", 0.5)
    model, processor = family("InternVL")
    with pytest.raises(ValueError, match="video_processor"):
        VideoLanguageReader(model, processor.tokenizer)
    with pytest.raises(ValueError, match="mm_encoder_outputs"):
        VideoLanguageReader(model.base_model.language_model, processor)
