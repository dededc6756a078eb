"""Readings that failed."""

from __future__ import annotations

import pickle

from temporal.pipelines import Reading, ReadingError, ReadingFailed

READING = Reading(
    id="a.mp4", error=ReadingError(stage="open", reason="not_media", message="it is no video")
)


def test_a_failed_reading_says_which_why_and_what_to_do() -> None:
    assert str(ReadingFailed(READING)) == "a.mp4: not_media: it is no video"
    assert str(ReadingFailed(READING, "look")) == "a.mp4: not_media: it is no video; look"


def test_a_failed_reading_goes_from_process_to_process() -> None:
    failed = ReadingFailed(READING, "look")
    copy = pickle.loads(pickle.dumps(failed))
    assert (str(copy), copy.reading) == (str(failed), READING)
