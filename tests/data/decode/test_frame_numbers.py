"""Frame numbers read together are those that are read one by one."""

from __future__ import annotations

import numpy as np

from temporal.data.decode.headers.frame_numbers import (
    HEAD_BYTES,
    UNKNOWN,
    _frame_number,
    _frame_numbers,
)


def head(*numbers: int, frame_number: int, bits: int) -> bytes:
    """A slice whose header begins with these Exp-Golomb numbers."""
    text = "".join("0" * ((number + 1).bit_length() - 1) + f"{number + 1:b}" for number in numbers)
    text += f"{frame_number:0{bits}b}"
    text = text.ljust(8 * (HEAD_BYTES - 1), "1")[: 8 * (HEAD_BYTES - 1)]
    return b"\x41" + int(text, 2).to_bytes(HEAD_BYTES - 1, "big")


def test_numbers_by_hand() -> None:
    heads = [
        head(0, 0, 0, frame_number=5, bits=4),
        head(3600, 7, 3, frame_number=9, bits=4),  # the second slice of a picture
        b"",
        head(0, 5, 255, frame_number=15, bits=4),
        head(2**31, 2**20, 2**12, frame_number=3, bits=4),  # longer than a word
        head(0, 0, 0, frame_number=7, bits=4)[:3],  # a picture of hardly a byte
    ]
    assert _frame_numbers(heads, 4).tolist() == [5, 9, UNKNOWN, 15, UNKNOWN, 7]
    assert _frame_numbers([], 4).tolist() == []


def test_random_heads_are_read_alike() -> None:
    random = np.random.default_rng(0)
    for bits in (4, 9, 16):
        heads = []
        for _ in range(3000):
            length = (
                int(random.integers(0, HEAD_BYTES + 1)) if random.random() < 0.2 else HEAD_BYTES
            )
            top = int(random.choice([2, 4, 256]))  # few: with escapes, and numbers that do not end
            heads.append(random.integers(0, top, length, dtype=np.uint8).tobytes())
        alone = [_frame_number(one, bits) if one else UNKNOWN for one in heads]
        assert _frame_numbers(heads, bits).tolist() == alone
