"""MPEG-2 pictures: all rows there, or not."""

from __future__ import annotations

import av
import pytest

from temporal.data.decode.headers.rows import has_all_rows, rows_check

from ..zoo.making import encode


def _packets(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        return [bytes(packet) for packet in packets], rows_check(stream.codec_context), packets


@pytest.mark.parametrize("flags", [0, 1 << 18 | 1 << 29])  # progressive; coded as two fields
def test_a_picture_without_one_of_its_rows_is_not_whole(tmp_path, flags):
    path = encode(
        tmp_path / "a.mpg", codec="mpeg2video", size=(96, 64), frames=12, b_frames=2, flags=flags
    )
    found, check, packets = _packets(path)
    assert len(found) == 12 and all(check(packet) for packet in packets)
    for data in found:
        starts = [data.find(bytes([0, 0, 1, row])) for row in range(1, 7)]
        assert has_all_rows(data, rows=6) and min(starts) > 0
        assert not has_all_rows(data, rows=7)
        assert not has_all_rows(data[: starts[5]], rows=6)  # cut before the last row
        assert not has_all_rows(data[: starts[2]] + data[starts[3] :], rows=6)


def test_other_codecs_are_not_looked_at(tmp_path):
    path = encode(tmp_path / "a.mpg", codec="mpeg1video", frames=3)
    _, check, packets = _packets(path)
    packet = packets[0]
    assert check(packet) and check(av.Packet(bytes(packet)[:40]))
