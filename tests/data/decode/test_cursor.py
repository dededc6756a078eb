"""Moving to a packet passes over no others, where a file lets one seek there."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.packet import Packet

from temporal.data import Video
from temporal.data.decode.packets.cursor import PacketCursor


@pytest.fixture(scope="module", params=["mp4", "mkv"])
def reordered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 frames, a keyframe every fifty, and B-frames: an mp4 then begins before its frame 0."""
    path = tmp_path_factory.mktemp("cursor") / f"reordered.{request.param}"
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        options = {"g": "50", "keyint_min": "50", "sc_threshold": "0", "bf": "3"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(200):
            image = random.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_keyframe_is_reached_without_the_gop_before_it(
    reordered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulled: list[int] = []
    pull = PacketCursor.pull

    def counted(cursor: PacketCursor) -> Packet | None:
        pulled.append(cursor.next)
        return pull(cursor)

    monkeypatch.setattr(PacketCursor, "pull", counted)
    video = Video(reordered, num_threads=1)
    whole = Video(reordered).read(range(200))
    pulled.clear()
    for frame in (150, 50, 100):
        assert (video.read([frame])[0] == whole[frame]).all()
    assert len(pulled) <= 3 * 2  # the keyframe, and what may have to come before it is let out
    assert video.spent.frames_decoded == 3
