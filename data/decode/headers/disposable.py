"""Coded frames that no other frame refers to: they need not be decoded on the way to others.

The headers of H.264, HEVC and MPEG-1, 2 and 4 say so. They are read while indexing; nothing is
decoded. Whatever is not understood counts as referred to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from .frame_numbers import HEAD_BYTES, FrameNumbers
from .units import FOUR_BYTES, h264_length_bytes, hevc_length_bytes, start_codes, unit_places

_H264_SLICES = frozenset((1, 2, 3, 4, 5))
_MOST_SLICES = 16  # that packets are looked into together for
_DAMAGED = 31  # no unit of this type: stands for one that cannot be
_H264_OTHERS = frozenset((14, 20, 21, _DAMAGED))  # scalable and multiview coding: not looked into
_REFERRED = 0xE0  # bits of `nal_ref_idc`, and the forbidden one: set, it tells damage
_HEVC_PICTURES = 32  # unit types below it code pictures
_HEVC_LAST_LEADING = 14  # of these, the even ones up to here are sub-layer non-reference pictures
_PICTURES = {"mpeg4": 0xB6, "mpeg1video": 0x00, "mpeg2video": 0x00}  # start codes
HAVE_DISPOSABLES = frozenset({"h264", "hevc", *_PICTURES})
"""Codecs that are understood."""


class Disposables:
    """Looks at a stream's packets one after another.

    `has_many_slices` then says whether an H.264 picture was coded in several.

    Args:
        codec: The codec's name.
        extradata: What the container says before the first packet.
    """

    def __init__(self, codec: str, extradata: bytes | None) -> None:
        self._codec = codec
        self._found: list[bool] = []
        self._has_layers = False
        self.has_many_slices = False
        self._length_bytes = (h264_length_bytes if codec == "h264" else hevc_length_bytes)(
            extradata
        )
        self._frame_numbers = FrameNumbers(extradata)

    def look(self, packet: memoryview) -> None:
        """Look at the next packet."""
        if self._length_bytes == 4 and self._codec == "h264" and _begins_with_slice(packet):
            # Nearly always, and every packet comes here.
            is_referred = bool(packet[4] & _REFERRED)
            is_alone = FOUR_BYTES(packet)[0] == len(packet) - 4
            if is_alone or (is_referred and self.has_many_slices):  # more units change nothing
                self._frame_numbers.add(bytes(packet[4 : 4 + HEAD_BYTES]))
                self._found.append(not is_referred)
                return
        marks: Iterable[bool]
        if self._codec == "h264":
            marks = self._h264(packet)
        elif self._codec == "hevc":
            marks = self._hevc(packet)
        elif self._codec in _PICTURES:
            marks = self._mpeg(bytes(packet))
        else:
            return
        self._found.append(all_and_any(marks))

    def look_at(self, block: bytes, starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
        """Look at the next packets, which lie in a block of bytes.

        Args:
            block: The bytes.
            starts: [n] where each packet begins in it.
            sizes: [n] its bytes.
        """
        view, at = memoryview(block), starts.tolist()
        heads, is_slices = b"", np.zeros(len(starts), dtype=np.bool_)
        marks = is_slices
        if self._length_bytes == 4 and self._codec == "h264":
            data = np.frombuffer(block, dtype=np.uint8)
            is_slices, marks, has_many = _only_slices(data, starts, sizes)
            self.has_many_slices |= has_many
            at_heads = np.where(is_slices, starts, 0)[:, None] + np.arange(4, 4 + HEAD_BYTES)
            heads = data[np.minimum(at_heads, len(data) - 1)].tobytes()
        for k, (is_plain, mark) in enumerate(zip(is_slices.tolist(), marks.tolist(), strict=True)):
            if is_plain:
                self._frame_numbers.add(heads[HEAD_BYTES * k : HEAD_BYTES * (k + 1)])
                self._found.append(mark)
            else:
                self.look(view[at[k] : at[k] + int(sizes[k])])

    def find(self, is_key: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Say for each packet whether its frame is disposable.

        Args:
            is_key: [P] whether decoding may start at the packet.

        Returns:
            [P]
        """
        if not self._found or self._has_layers:
            return np.zeros(len(is_key), dtype=np.bool_)
        found = np.array(self._found, dtype=np.bool_) & ~is_key
        if self._codec != "h264":
            return found
        # What a decoder makes up for a missing picture depends on the disposable ones, too.
        gop = np.cumsum(is_key)
        gaps = np.flatnonzero(self._frame_numbers.find_gaps(~found))
        spoilt = np.concatenate([gop[gaps], gop[np.maximum(gaps - 1, 0)]])
        return found & ~np.isin(gop, spoilt)

    def _h264(self, packet: memoryview) -> list[bool]:
        """For each slice whether `nal_ref_idc` is 0 (ITU-T H.264, 7.4.1)."""
        marks: list[bool] = []
        is_first = True
        for place in unit_places(packet, self._length_bytes):
            kind = packet[place] & 31 if place < len(packet) else _DAMAGED
            if kind in _H264_SLICES:
                if is_first:
                    self._frame_numbers.add(bytes(packet[place : place + HEAD_BYTES]))
                else:
                    self.has_many_slices = True
                is_first = False
                marks.append(not packet[place] & _REFERRED)
            elif kind in _H264_OTHERS:
                marks.append(False)
        if is_first:
            self._frame_numbers.add(b"")
        return marks

    def _hevc(self, packet: memoryview) -> list[bool]:
        """For each slice whether it is of a sub-layer non-reference picture (H.265, 7.4.2.2).

        Those may be referred to from higher temporal layers, so where there are such layers, none
        is disposable.
        """
        marks: list[bool] = []
        for place in unit_places(packet, self._length_bytes):
            if place + 1 >= len(packet):
                return [False]
            first, second = packet[place], packet[place + 1]
            kind = first >> 1
            if kind < _HEVC_PICTURES:
                self._has_layers |= second & 7 != 1  # TemporalId + 1
                layer = (first & 1) << 5 | second >> 3
                marks.append(layer == 0 and kind <= _HEVC_LAST_LEADING and kind % 2 == 0)
        return marks

    def _mpeg(self, packet: bytes) -> Iterator[bool]:
        """For each picture whether it is bidirectional.

        Source: ISO/IEC 14496-2 (`vop_coding_type`), ISO/IEC 13818-2 (`picture_coding_type`).
        """
        for place in start_codes(packet):
            if packet[place] != _PICTURES[self._codec]:
                continue
            if self._codec == "mpeg4":
                yield packet[place + 1 : place + 2] != b"" and packet[place + 1] >> 6 == 2
            else:
                yield packet[place + 2 : place + 3] != b"" and packet[place + 2] >> 3 & 7 == 3


def _begins_with_slice(packet: memoryview) -> bool:
    """Whether the first unit of a packet, with lengths of four bytes, is a slice."""
    return len(packet) >= 5 and packet[4] & 31 in _H264_SLICES


def _only_slices(
    data: NDArray[np.uint8], starts: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], bool]:
    """Which packets of units with lengths of four bytes hold slices and nothing else.

    Args:
        data: Bytes.
        starts: [n] where each packet begins.
        sizes: [n] its bytes.

    Returns:
        For each packet whether it does, and then whether no other frame refers to it; and whether
        any of these has several slices. A packet that is shorter than the head of a slice may be,
        or that has very many of them, is not looked into.
    """
    at, ends = starts.copy(), starts + sizes
    is_slices = sizes >= 4 + HEAD_BYTES
    marks, has_many = np.ones(len(starts), dtype=np.bool_), False
    for number in range(_MOST_SLICES):
        left = np.flatnonzero(is_slices & (at < ends))
        if not len(left):
            return is_slices, marks, has_many
        is_slices[left[at[left] + 5 > ends[left]]] = False
        left = left[at[left] + 5 <= ends[left]]
        units = data[at[left][:, None] + np.arange(5)]
        lengths = np.ascontiguousarray(units[:, :4]).view(">u4")[:, 0].astype(np.int64)
        kinds = units[:, 4] & 31
        is_slice = (lengths > 0) & (kinds >= min(_H264_SLICES)) & (kinds <= max(_H264_SLICES))
        at[left] += 4 + lengths
        is_slices[left] = is_slice & (at[left] <= ends[left])
        marks[left] &= units[:, 4] & _REFERRED == 0
        has_many |= bool(number and is_slices[left].any())
    return is_slices & (at == ends), marks, has_many


def all_and_any(marks: Iterable[bool]) -> bool:
    """Whether there are marks and all are true."""
    found = list(marks)
    return bool(found) and all(found)
