"""Which pictures of an MPEG transport stream miss bytes, where its packets are not numbered on.

The demuxer marks the picture before the one in which numbers break off, and knows of no reason. But
they do so, too, where recordings are joined, and nothing is missing there: each picture lies in
packets that are numbered through, and the last of them is filled up, as only a last one is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import BinaryIO

import numpy as np
from av.packet import Packet
from numpy.typing import NDArray

_PACKET_BYTES = (188, 192, 204)  # alone; with a time before it; with a check sum after it
_HAS_CLOCK, _HAS_OTHER_CLOCK, _HAS_COUNTDOWN, _HAS_PRIVATE, _HAS_MORE = 16, 8, 4, 2, 1
_SAYS_SOMETHING = 31


def damaged(
    is_marked: NDArray[np.bool_],
    places: Sequence[int],
    pts: NDArray[np.int64],
    is_key: NDArray[np.bool_],
    recovering: Collection[int],
    file: BinaryIO,
    stream_id: int,
) -> NDArray[np.bool_]:
    """Say which coded pictures are damaged, or come after some that are lost.

    Args:
        is_marked: [P] by the demuxer.
        places: [P] where in the file each begins; -1: not known.
        pts: [P] when it is shown.
        is_key: [P] whether decoding may start there.
        recovering: Those of them that are not whole.
        file: The file.
        stream_id: Number of the stream's packets.

    Returns:
        [P]
    """
    found = np.zeros_like(is_marked)
    for marked in np.flatnonzero(is_marked).tolist():
        late, after = marked + 1, marked + 2
        if late >= len(places) or not _lies_whole(file, marked, places, stream_id):
            found[marked] = True
        elif not _lies_whole(file, late, places, stream_id):
            found[late] = True
        elif after < len(places):
            # Whole pictures may be lost between the two, which does no harm to a new beginning.
            found[after] = not _begins_anew(after, pts, is_key) or after in recovering
    return found


def follow(
    packets: Iterable[Packet], open_file: Callable[[], BinaryIO] | None, stream_id: int
) -> Iterator[tuple[Packet, bool, bool]]:
    """Say the same of packets on their way; where one is marked, two more are waited for.

    Args:
        packets: Of the stream, as the demuxer gives them.
        open_file: Opens the file; None: it cannot be read once more.
        stream_id: Number of the stream's packets.

    Yields:
        (packet, whether it is damaged, whether whole pictures may be lost before it).
    """
    window: list[Packet] = []
    broken: set[int] = set()  # by identity, of packets in the window
    fresh: set[int] = set()
    for packet in itertools.chain(packets, [None]):
        if packet is not None:
            window.append(packet)
        while window and (packet is None or len(window) > 2 or not window[0].is_corrupt):
            first = window[0]
            if first.is_corrupt:
                marks = _marks(window, open_file, stream_id)
                broken.update(id(one) for one, bad in zip(window, marks, strict=True) if bad)
                fresh.update(id(one) for one in window[2:] if not any(marks))
            yield first, id(first) in broken, id(first) in fresh
            broken.discard(id(first))
            fresh.discard(id(first))
            del window[0]


def _marks(
    window: Sequence[Packet], open_file: Callable[[], BinaryIO] | None, stream_id: int
) -> list[bool]:
    """Which packets of a window are damaged, whose first one is marked."""
    if open_file is None:
        return [place == min(1, len(window) - 1) for place in range(len(window))]
    places = [-1 if packet.pos is None else packet.pos for packet in window]
    is_marked = np.arange(len(window)) == 0
    pts = np.array([packet.pts or 0 for packet in window])
    is_key = np.array([packet.is_keyframe for packet in window])
    with open_file() as file:
        return damaged(is_marked, places, pts, is_key, (), file, stream_id).tolist()


def _begins_anew(key: int, pts: NDArray[np.int64], is_key: NDArray[np.bool_]) -> bool:
    """Whether a picture and those up to the next keyframe refer to none before it."""
    later = np.flatnonzero(is_key[key + 1 :])
    end = key + 1 + int(later[0]) if len(later) else len(pts)
    return bool(is_key[key] and np.all(pts[key:end] >= pts[key]))


def _lies_whole(file: BinaryIO, number: int, places: Sequence[int], stream_id: int) -> bool:
    start = places[number]
    end = next((place for place in places[number + 1 :] if place > start), None)
    if start < 0:
        return False
    file.seek(start)
    return has_all_packets(file.read(-1 if end is None else end - start), stream_id)


def has_all_packets(data: bytes, stream_id: int) -> bool:
    """Whether a stream's packets in these bytes begin with a picture and end with its end.

    Args:
        data: From the first byte of the first packet on.
        stream_id: Number of the stream's packets; those of others are passed over.
    """
    before = 0 if data[:1] == b"G" else 4
    for size in _PACKET_BYTES:
        packets = [data[at : at + 188] for at in range(before, len(data) - 187, size)]
        if packets and all(packet[:1] == b"G" for packet in packets):
            break
    else:
        return False
    own = [p for p in packets if (p[1] & 31) << 8 | p[2] == stream_id and p[3] & 16]
    if not own or not own[0][1] & 64 or any(packet[1] & 128 for packet in own):
        return False
    for packet, following in zip(own, own[1:], strict=False):
        if following[3] & 15 not in (packet[3] & 15, (packet[3] + 1) & 15):
            return False
    return _is_filled_up(own[-1])


def _is_filled_up(packet: bytes) -> bool:
    """Whether a packet has more beside its content than it has to say."""
    if not packet[3] & 32:
        return False
    length, flags = packet[4], packet[5]
    if length == 0:
        return True
    if flags & _HAS_MORE:
        return False
    needed = 1 + 6 * bool(flags & _HAS_CLOCK) + 6 * bool(flags & _HAS_OTHER_CLOCK)
    needed += bool(flags & _HAS_COUNTDOWN)
    if flags & _HAS_PRIVATE:
        needed += 1 + packet[min(5 + needed, 187)]
    # One that says nothing is there to fill up.
    return length > needed or not flags & _SAYS_SOMETHING
