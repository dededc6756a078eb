"""H.264 keyframes that are not whole: points from which the picture recovers little by little.

A stream with periodic intra refresh has no whole keyframe after its first. Containers mark the
points at which the refresh begins as keyframes; a message before the picture says how many frames
later it is whole. These few bytes are read while indexing; nothing is decoded.
"""

from __future__ import annotations

_MESSAGES, _KEYFRAME, _SLICES = 6, 5, (1, 2, 3, 4)
_RECOVERY_POINT = 6
_HEAD_BYTES = 4096  # what describes a picture comes before it
NEVER = 1 << 40
"""Stands for a recovery that is not exact."""


def recovery_frames(packet: memoryview, length_bytes: int) -> int:
    """How many reference frames after this keyframe the picture is exact; 0 for a whole one."""
    head = bytes(packet[:_HEAD_BYTES])
    for unit in _units(head, length_bytes):
        kind = unit[0] & 31
        if kind == _KEYFRAME or kind in _SLICES:
            return 0
        if kind == _MESSAGES:
            found = _recovery_point(unit[1:])
            if found is not None:
                return found
    return 0


def _units(head: bytes, length_bytes: int) -> list[bytes]:
    if not length_bytes:
        return [unit for unit in head.split(b"\0\0\1")[1:] if unit]
    units, place = [], 0
    while place + length_bytes < len(head):
        size = int.from_bytes(head[place : place + length_bytes], "big")
        place += length_bytes
        units.append(head[place : place + size])
        place += size
    return [unit for unit in units if unit]


def _recovery_point(messages: bytes) -> int | None:
    """Find the recovery point among supplemental messages; None when there is none."""
    data, place = messages.replace(b"\0\0\3", b"\0\0"), 0
    while place + 2 < len(data):
        numbers = []
        for _ in range(2):  # kind, then size: bytes of 255 and a last one are added up
            number = 0
            while place < len(data) and data[place] == 255:
                number, place = number + 255, place + 1
            number += data[place] if place < len(data) else 0
            numbers.append(number)
            place += 1
        kind, size = numbers
        if kind == _RECOVERY_POINT:
            return _count(data[place : place + size])
        place += size
    return None


def _count(message: bytes) -> int | None:
    """An Exp-Golomb number and the flag `exact_match`."""
    bits = "".join(f"{byte:08b}" for byte in message)
    zeros = len(bits) - len(bits.lstrip("0"))
    number = bits[zeros : 2 * zeros + 1]
    if len(bits) < 2 * zeros + 2:
        return None
    is_exact = bits[2 * zeros + 1] == "1"
    frames = int(number, 2) - 1
    return frames if is_exact or frames == 0 else NEVER
