"""Bit fields and Exp-Golomb numbers, as H.264 and HEVC headers have them (ITU-T H.264, 9.1)."""

from __future__ import annotations


class Bits:
    """Reads a header from its first bit on.

    Args:
        data: Its bytes, as they are stored: emulation prevention is undone here.
        is_plain: It is undone already.
    """

    def __init__(self, data: bytes, *, is_plain: bool = False) -> None:
        if not is_plain:
            data = data.replace(b"\0\0\3", b"\0\0")
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def read(self, count: int) -> int:
        """Take this many bits as a number.

        Raises:
            EOFError: There are not that many.
        """
        self._left -= count
        if self._left < 0:
            raise EOFError
        return (self._value >> self._left) & ((1 << count) - 1)

    def read_unsigned(self) -> int:
        """Take an Exp-Golomb number, `ue(v)`.

        Raises:
            EOFError: It does not end.
        """
        rest = self._value & ((1 << self._left) - 1)
        zeros = self._left - rest.bit_length()
        return self.read(2 * zeros + 1) - 1

    def read_signed(self) -> int:
        """Take a signed Exp-Golomb number, `se(v)`.

        Raises:
            EOFError: It does not end.
        """
        code = self.read_unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)
