"""Events as other programs read them: files by hand, and strange labels that come back whole."""

from __future__ import annotations

import csv
import html
import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import av
import pytest

from temporal.pipelines.exports.chapters import ffmetadata, matroska_chapters
from temporal.pipelines.exports.edl import edl
from temporal.pipelines.exports.formats import FORMATS, format_of, written
from temporal.pipelines.exports.lists import csv_table, json_list
from temporal.pipelines.exports.span import VideoSpans, spans_of, video_spans
from temporal.pipelines.exports.webvtt import webvtt

STRANGE = [
    'a, "b"; c',
    "one\ntwo",
    "one\r\ntwo\rthree",
    "a --> b",
    "<b>&amp;</b>",
    "key=value;#\\",
    "  spaces  ",
    "naïve 雪 🚂",
    "=1+1",
    "[CHAPTER]\nSTART=0",
    "TITLE: x",
    "-- ]]> <!--",
    "",
    "\n\n",
]


def video(*events: tuple[float, float, str], rate: float | None = 25.0, **more: Any) -> VideoSpans:
    made = [
        {"start_seconds": start, "end_seconds": end, "label": label, "score": 0.75}
        for start, end, label in events
    ]
    return VideoSpans(id="clips/a.mp4", spans=spans_of(made), frames_per_second=rate, **more)


def test_webvtt_by_hand() -> None:
    assert webvtt(video((1.5, 3.0, "falls"), (3661.0016, 3662, "runs & <hits>"))) == (
        "WEBVTT\n"
        "\n1\n00:00:01.500 --> 00:00:03.000\nfalls\n"
        "\n2\n01:01:01.002 --> 01:01:02.000\nruns &amp; &lt;hits&gt;\n"
    )


def test_webvtt_without_events_is_a_file() -> None:
    assert webvtt(video()) == "WEBVTT\n"


def test_a_cue_ends_after_it_starts() -> None:
    assert "00:00:02.000 --> 00:00:02.001" in webvtt(video((2, 2, "flash")))


@pytest.mark.parametrize("label", STRANGE)
def test_labels_come_back_from_webvtt(label: str) -> None:
    blocks = webvtt(video((1, 2, label), (3, 4, "next"))).strip().split("\n\n")
    assert len(blocks) == 3  # the head and two cues: no label ends its cue
    number, times, *payload = blocks[1].split("\n")
    assert (number, times) == ("1", "00:00:01.000 --> 00:00:02.000")
    assert not any("-->" in line for line in payload)
    lines = [line for line in label.splitlines() if line.strip()]
    assert [html.unescape(line) for line in payload] == (lines or ["\xa0"])


def test_edl_by_hand() -> None:
    made = edl(video((1, 3, "falls"), (60.5, 60.5, "flash")))
    assert made == (
        "TITLE: a.mp4\n"
        "FCM: NON-DROP FRAME\n"
        "\n"
        "001  AX       V     C        00:00:01:00 00:00:03:00 01:00:00:00 01:00:02:00\n"
        "* FROM CLIP NAME: a.mp4\n"
        "* COMMENT: falls\n"
        "* SCORE: 0.7500\n"
        "\n"
        # 60.5 s are frame 1512.5, so 1513; an event has a frame at least.
        "002  AX       V     C        00:01:00:13 00:01:00:14 01:00:02:00 01:00:02:01\n"
        "* FROM CLIP NAME: a.mp4\n"
        "* COMMENT: flash\n"
        "* SCORE: 0.7500\n"
    )


def test_edl_of_29_97_frames_drops_numbers() -> None:
    # 60.06 s are frame 1800, 120.12 s 3600; the reel begins at 01:00:00;00.
    made = edl(video((60.06, 120.12, "x"), rate=30000 / 1001)).split("\n")
    assert made[1] == "FCM: DROP FRAME"
    assert made[3].split()[4:] == ["00:01:00;02", "00:02:00;04", "01:00:00;00", "01:01:00;02"]
    through = edl(video((60.06, 120.12, "x"), rate=29.97), drop_frame=False).split("\n")
    assert through[1] == "FCM: NON-DROP FRAME"
    assert through[3].split()[4:] == ["00:01:00:00", "00:02:00:00", "01:00:00:00", "01:01:00:00"]


@pytest.mark.parametrize("label", STRANGE)
def test_a_label_cannot_make_a_line_of_an_edl(label: str) -> None:
    lines = edl(video((1, 2, label))).split("\n")
    assert len(lines) == 8
    assert lines[5] == f"* COMMENT: {' '.join(label.split())}".replace("COMMENT:  ", "COMMENT: ")


def test_what_an_edl_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="frame_rate must be given"):
        edl(video((1, 2, "x"), rate=None))
    with pytest.raises(ValueError, match=r"frame_rate \(12.5\)"):
        edl(video((1, 2, "x"), rate=12.5))
    assert edl(video((1, 2, "x"), rate=12.5), frame_rate=25)
    with pytest.raises(ValueError, match="999"):
        edl(video(*[(k, k + 1, "x") for k in range(1000)]))
    with pytest.raises(ValueError, match="drop_frame"):
        edl(video((1, 2, "x")), drop_frame=True)


@pytest.mark.parametrize("label", STRANGE)
def test_labels_come_back_from_ffmetadata(label: str, tmp_path: Path) -> None:
    path = tmp_path / "events.ffmeta"
    path.write_bytes(ffmetadata(video((1.5, 3, label), (5, 5, "next"))).encode())
    with av.open(str(path), format="ffmetadata") as container:
        found = container.chapters()
    times = [(float(c["start"] * c["time_base"]), float(c["end"] * c["time_base"])) for c in found]
    assert times == [(1.5, 3.0), (5.0, 5.001)]
    title = found[0]["metadata"].get("title", "")
    assert title == (label + " " if label.endswith("\\") else label)
    assert found[1]["metadata"]["title"] == "next"


@pytest.mark.parametrize("label", STRANGE)
def test_labels_come_back_from_matroska_chapters(label: str) -> None:
    tree = ElementTree.fromstring(matroska_chapters(video((1.5, 3661, label))))
    atom = tree.find("EditionEntry/ChapterAtom")
    assert atom is not None
    assert atom.findtext("ChapterTimeStart") == "00:00:01.500000000"
    assert atom.findtext("ChapterTimeEnd") == "01:01:01.000000000"
    assert atom.findtext("ChapterDisplay/ChapterString") == label


def test_matroska_chapters_without_events_have_no_empty_edition() -> None:
    assert list(ElementTree.fromstring(matroska_chapters(video()))) == []


def test_what_xml_cannot_hold_is_marked() -> None:
    made = matroska_chapters(video((1, 2, "a\0b\x1bc\ufffe")))
    assert ElementTree.fromstring(made).find(".//ChapterString").text == "a�b�c�"  # type: ignore[union-attr]


@pytest.mark.parametrize("label", [*STRANGE, "a\0b"])
def test_labels_come_back_from_csv_and_json(label: str) -> None:
    videos = [video((1.5, 3, label)), VideoSpans(id="none.mp4")]
    rows = list(csv.DictReader(io.StringIO(csv_table(videos), newline="")))
    assert [row["label"] for row in rows] == [label]
    assert rows[0]["id"] == "clips/a.mp4"
    assert (float(rows[0]["start_seconds"]), float(rows[0]["score"])) == (1.5, 0.75)
    found = json.loads(json_list(videos))
    assert [len(one["events"]) for one in found] == [1, 0]
    assert found[0]["events"] == [
        {"start_seconds": 1.5, "end_seconds": 3.0, "label": label, "score": 0.75}
    ]


def test_events_are_put_in_order_and_open_ones_left_out() -> None:
    events = [
        {"start_seconds": 5.0, "end_seconds": 6.0, "label": "b", "score": 0.9},
        {"start_seconds": 1.0, "end_seconds": 2.0, "label": "a", "score": 0.2},
        {"start_seconds": 5.0, "end_seconds": 5.5, "label": "b", "score": 0.9, "is_open": True},
        {"start_seconds": None, "end_seconds": None, "label": None, "score": 0.1},  # none found
    ]
    assert [one.label for one in spans_of(events)] == ["a", "b"]
    assert [one.label for one in spans_of(events, least_score=0.5)] == ["b"]


@pytest.mark.parametrize(
    "event",
    [
        {"label": "cat", "score": 0.5},
        {"label": "x", "start_seconds": 2.0, "end_seconds": 1.0},
        {"label": "x", "start_seconds": float("nan"), "end_seconds": 1.0},
        {"start_seconds": 0.0, "end_seconds": 1.0},
    ],
)
def test_what_is_no_event_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="seconds"):
        spans_of([event])


def test_rows_become_videos() -> None:
    row = {
        "id": "a.mp4",
        "status": "ok",
        "predictions": [{"label": "x", "score": 0.5, "start_seconds": 1.0, "end_seconds": 2.0}],
        "error_reason": None,
        "error_message": None,
        "source": "/videos/a.mp4",
        "trace": None,
    }
    made = video_spans(row)
    assert (made.id, len(made.spans), made.frames_per_second) == ("a.mp4", 1, None)
    broken = video_spans({**row, "status": "error", "predictions": [], "error_reason": "corrupt"})
    assert (broken.status, broken.error) == ("error", "corrupt: None")


def test_every_format_has_a_suffix_of_its_own_and_writes_utf_8() -> None:
    assert len({one.suffix for one in FORMATS.values()}) == len(FORMATS)
    for one in FORMATS.values():
        assert format_of(one.suffix.upper()) is one
        assert "雪" in written(one, [video((1, 2, "雪"))])
    with pytest.raises(ValueError, match="one video"):
        written(FORMATS["webvtt"], [video(), video()])
