"""The benchmark of audits counts as an audit does, and its changed clips are those clips."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from temporal.auditing.betting import passes

Script = Callable[[str], Any]


def test_the_first_alarm_is_where_the_bound_has_passed(script: Script) -> None:
    benchmark = script("benchmark_audit")
    outcomes = np.array([[0, 0, 1, 0, 1, 1, 1, 1], [0] * 8, [1] * 8])
    found = benchmark.first_alarms(outcomes, 0.1)
    by_hand = [
        next((n for n in range(1, 9) if passes(int(run[:n].sum()), n, 0.1)), 0) for run in outcomes
    ]
    assert found.tolist() == by_hand and by_hand[1] == 0 < by_hand[2] < by_hand[0]


def test_texts_of_another_kind_are_told(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / "short.csv"
    rows = "".join(f'"{word} film",{k % 2}\n' for k, word in enumerate(["fine", "dull"] * 20))
    file.write_text("text,label\n" + rows)
    monkeypatch.setattr(sys, "argv", ["benchmark_audit", "--data", f"short={file}"])
    script("benchmark_audit").main()
    found = json.loads(capsys.readouterr().out)["short"]
    assert found["inputs"] == found["read_both_ways"] == 40 and found["unlike_after"] == 32
    right, _, judged = found["right"].partition(" of ")
    assert int(right) <= int(judged) == 40


@pytest.mark.parametrize("change", ["dark", "bright", "blur", "codec"])
def test_changed_clips(script: Script, tmp_path: Path, change: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (6, 8, 3)).repeat(8, 0).repeat(8, 1)
    with av.open(str(tmp_path / "clip.mp4"), "w") as made:
        stream = made.add_stream("libx264", rate=10, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels.astype(np.uint8)))
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    changed_clip = script("parts.changed_clips").changed_clip
    target = changed_clip(tmp_path / "clip.mp4", change, tmp_path / "made" / "clip.mp4")

    def frames(path: Path) -> np.ndarray:
        with av.open(str(path)) as source:
            return np.stack([x.to_ndarray(format="rgb24") for x in source.decode(video=0)])

    before, after = frames(tmp_path / "clip.mp4").astype(float), frames(target).astype(float)
    assert before.shape == after.shape
    light, edges = after.mean() / before.mean(), np.abs(np.diff(after, axis=2)).mean()
    assert {"dark": light < 0.45, "bright": light > 1.2}.get(change, 0.9 < light < 1.1)
    if change == "blur":
        assert edges < 0.95 * np.abs(np.diff(before, axis=2)).mean()
    assert np.abs(after - before).mean() > 1
