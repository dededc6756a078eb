"""Audited pipelines: what is read twice, what is compared, and what an alarm changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from temporal.data import Item
from temporal.models import EarlyExit
from temporal.models.reader import Reader
from temporal.pipelines import pipeline
from temporal.pipelines.auditing.audit import Audit, AuditWarning, same_answer
from temporal.pipelines.auditing.readings import _InOrder
from temporal.pipelines.reading import Reading

Words = Callable[[int, int], str]


@pytest.fixture
def many(make_words: Words) -> list[str]:
    """Sixty texts of 3 to 30 words."""
    return [make_words(seed, 3 + seed % 28) for seed in range(60)]


def halting(path: Path, threshold: float = 0.5, **options: Any) -> Any:
    """Three exits, the first of which answers where it is at all certain."""
    return pipeline(
        "text-classification",
        str(path),
        policy=f"confidence:{threshold}",
        device="cpu",
        batch_size=4,
        **options,
    )


def answers(readings: Any) -> dict[str, Any]:
    """Labels and scores by id; in batches of other rows the last bits of a score are others."""
    return {
        reading.id: [(one["label"], round(one["score"], 5)) for one in reading.predictions]
        for reading in readings
    }


def test_every_input_audited_is_every_input_read_in_full(
    early_exit_path: Path, many: list[str]
) -> None:
    adaptive = answers(halting(early_exit_path).read(many))
    full = answers(halting(early_exit_path, 1e9).read(many))
    pipe = halting(early_exit_path, audit=1.0)
    found = list(pipe.read(many))
    assert answers(found) == adaptive
    audits = list(pipe.audit.finished)
    assert answers(one.full for one in audits) == full
    differ = {name for name in full if full[name][0][0] != adaptive[name][0][0]}
    assert {one.id for one in audits if not one.agreed} == differ != set()
    assert (pipe.audit.audited, pipe.audit.disagreed) == (60, len(differ))
    low, high = pipe.audit.bounds
    assert low < len(differ) / 60 < high
    # The cost of the full readings is apart from the readings' own.
    plain = list(halting(early_exit_path).read(many))
    assert [one.predictions for one in found] == [one.predictions for one in plain]  # to the bit
    assert [one.trace.cost.macs for one in found] == [one.trace.cost.macs for one in plain]
    assert pipe.audit.cost.macs == sum(one.full.trace.cost.macs for one in audits)


def test_an_answer_is_given_before_its_input_is_read_in_full(
    early_exit_path: Path, many: list[str]
) -> None:
    pipe = halting(early_exit_path, audit=1.0)
    readings = iter(pipe.read(many))
    next(readings)
    assert pipe.audit.audited == 0 and len(pipe.audit.pending) == 1
    list(readings)
    assert pipe.audit.audited == 60 and not pipe.audit.pending


def test_which_inputs_are_audited_is_told_by_their_ids_and_the_seed(
    early_exit_path: Path, many: list[str]
) -> None:
    items = [Item(id=f"review {k}", value=text) for k, text in enumerate(many)]

    def audited(items: list[Item], seed: int = 0) -> set[str]:
        pipe = halting(early_exit_path, audit=Audit(0.3, seed=seed))
        list(pipe.read(items, order="completed"))
        return {one.id for one in pipe.audit.finished}

    chosen = audited(items)
    assert chosen == audited(items[::-1]) == audited(items[:20]) | audited(items[20:])
    assert 8 <= len(chosen) <= 28 and chosen != audited(items, seed=1)
    audit = Audit(0.1)
    audit.full = (None, None)
    assert 900 < sum(audit.chooses(f"{k}") for k in range(10_000)) < 1100


def test_an_alarm_reads_in_full_from_there_on(early_exit_path: Path, many: list[str]) -> None:
    adaptive = answers(halting(early_exit_path).read(many))
    full = answers(halting(early_exit_path, 1e9).read(many))
    pipe = halting(early_exit_path, audit=1.0, max_disagreement=0.02)
    items = (text for text in many)
    with pytest.warns(AuditWarning, match=r"more than 2.0% with 95% confidence: what comes is"):
        found = list(pipe.read(items))
    assert [reading.id for reading in found] == [f"text-{k:06d}" for k in range(60)]
    before = [reading for reading in found if not reading.read_in_full]
    after = [reading for reading in found if reading.read_in_full]
    assert before and after and found == before + after
    assert answers(before) == {one.id: adaptive[one.id] for one in before}
    assert answers(after) == {one.id: full[one.id] for one in after}
    assert pipe.audit.audited == len(before) < 40  # what is read in full needs no audit
    assert all(reading.read_in_full for reading in pipe.read(many[:3]))  # and so it stays


def test_no_alarm_where_as_much_is_borne(early_exit_path: Path, many: list[str]) -> None:
    pipe = halting(early_exit_path, audit=1.0, max_disagreement=0.9)
    assert not any(reading.read_in_full for reading in pipe.read(many))
    assert not pipe.audit.alarm


def test_bad_inputs_are_not_audited_and_stop_nothing(early_exit_path: Path) -> None:
    texts = ["w1 w2 w3", "", "w4 w5", "", "w6"]
    pipe = halting(early_exit_path, audit=1.0)
    kept = list(pipe.read([Item(id=str(k), value=text) for k, text in enumerate(texts)]))
    assert [reading.status for reading in kept] == ["ok", "error", "ok", "error", "ok"]
    assert {one.id for one in pipe.audit.finished} == {"0", "2", "4"}
    assert pipe.audit.audited == 3
    assert len(list(pipe.read(texts, on_error="skip"))) == 3
    with pytest.raises(RuntimeError, match="empty_input"):
        list(pipe.read(texts, on_error="raise"))


def test_one_name_twice_is_two_inputs(early_exit_path: Path, videos: list[Path]) -> None:
    pipe = halting(early_exit_path, audit=1.0)
    list(pipe.read([Item(id="same", value="w1 w2"), Item(id="same", value="w3")]))
    assert pipe.audit.audited == 2


def test_calls_go_on_where_the_last_one_ended(early_exit_path: Path, many: list[str]) -> None:
    pipe = halting(early_exit_path, audit=1.0)
    plain = halting(early_exit_path)
    for text in many[:5]:
        assert pipe(text, top_k=2) == plain(text, top_k=2)
    assert pipe.audit.audited == 5


@pytest.mark.parametrize("isolate", [False, True])
def test_videos_are_audited(frame_exit_path: Path, videos: list[Path], isolate: bool) -> None:
    options = {"device": "cpu", "batch_size": 2, "isolate": isolate, "policy": "confidence:0.4"}
    paths = [str(path) for path in videos]
    pipe = pipeline("video-classification", str(frame_exit_path), audit=1.0, **options)
    plain = pipeline("video-classification", str(frame_exit_path), **options)
    assert answers(pipe.read(paths)) == answers(plain.read(paths))
    assert pipe.audit.audited == len(videos)
    assert all(len(one.full.trace.read) == 5 for one in pipe.audit.finished)
    assert pipe.audit.cost.frames_decoded > 0


def test_frames_and_bytes_are_read_twice_as_well(frame_exit_path: Path, videos: list[Path]) -> None:
    pipe = pipeline(
        "video-classification",
        str(frame_exit_path),
        audit=1.0,
        device="cpu",
        policy="confidence:0.4",
    )
    with videos[1].open("rb") as file:
        list(pipe.read([videos[0].read_bytes(), file]))
    assert (pipe.audit.audited, pipe.audit.failed) == (2, 0)


def test_a_reader_that_reads_everything_has_nothing_to_audit(
    skim_path: Path, many: list[str]
) -> None:
    pipe = pipeline(
        "text-classification", str(skim_path), policy="read:0.0", audit=1.0, device="cpu"
    )
    list(pipe.read(many))
    assert pipe.audit.is_idle and pipe.audit.audited == 0 and pipe.audit.told == ""


def test_what_cannot_be_audited_is_refused(
    bert_path: Path, early_exit_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pipeline("text-classification", str(bert_path), audit=0.1, device="cpu")
    assert whole.audit.is_idle  # a classifier reads everything
    with monkeypatch.context() as patch:
        patch.setattr(EarlyExit, "full_policy", Reader.policy_space)
        with pytest.raises(ValueError, match=r"audit \(0.1\) compares with the full reading, and"):
            halting(early_exit_path, audit=0.1)
    with pytest.raises(ValueError, match=r"audit \(1.5\) must be between 0 and 1"):
        halting(early_exit_path, audit=1.5)
    with pytest.raises(ValueError, match=r"max_disagreement \(1.0\) must be >= 0 and < 1"):
        halting(early_exit_path, audit=0.5, max_disagreement=1.0)
    with pytest.raises(ValueError, match="give audit, a share"):
        halting(early_exit_path, max_disagreement=0.1)
    with pytest.raises(ValueError, match="belongs to the Audit"):
        halting(early_exit_path, audit=Audit(0.5), max_disagreement=0.1)


def test_answers_are_compared_by_what_they_say() -> None:
    def reading(*classes: int, **fields: Any) -> Reading:
        return Reading(id="a", predictions=(fields,), classes=classes)

    columns = {"label": str, "score": float}
    assert same_answer(reading(1, label="x", score=0.9), reading(1, label="x", score=0.4), columns)
    assert not same_answer(reading(1, label="x"), reading(2, label="x"), columns)  # of one name
    events = {"label": str, "starts": list[int], "scores": list[float]}
    one = reading(label="x", starts=[1, 5], scores=[0.5, 0.5])
    assert same_answer(one, reading(label="x", starts=[1, 5], scores=[0.1, 0.2]), events)
    assert not same_answer(one, reading(label="x", starts=[1, 6], scores=[0.5, 0.5]), events)


def test_what_comes_early_waits_for_its_turn() -> None:
    turns: _InOrder[str] = _InOrder()
    first, second, third = (turns.place() for _ in range(3))
    assert turns.put(third, "c") == []
    assert turns.put(first, "a") == ["a"]
    assert turns.put(second, None) == ["c"]
