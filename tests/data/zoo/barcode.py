"""Numbers as pictures: a frame that says which one it is, and which way is up.

Sixteen cells in a square grid: four corners that fix contrast and orientation, eight bits of the
number and four of a check sum. A cell is read from its middle, so blur, scaling and coding do not
matter, and a picture that is damaged reads as no number rather than as another one.
"""

from __future__ import annotations

import numpy as np

GRID = 4
BLACK, WHITE = 28, 228
_BITS = [(row, column) for row in range(GRID) for column in range(GRID)][1:]  # without top left
_BITS = [cell for cell in _BITS if cell not in ((0, 3), (3, 0), (3, 3))]  # nor the other corners


def draw(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Return uint8 [height, width, 3]; numbers from 256 on begin again at 0."""
    value = number % 256
    bits = value << 4 | _check_sum(value)
    cells = np.full((GRID, GRID), BLACK, dtype=np.uint8)
    cells[0, 0] = WHITE
    for place, cell in enumerate(_BITS):
        if bits >> place & 1:
            cells[cell] = WHITE
    rows = np.arange(height) * GRID // height
    columns = np.arange(width) * GRID // width
    return np.repeat(cells[rows][:, columns, None], 3, axis=2)


def read(image: np.ndarray) -> int | None:
    """Read the number from uint8 [3, height, width]; None where it is damaged or not upright."""
    cells = _cells(image)
    if np.any(np.abs(cells - (BLACK + WHITE) / 2) < 50):
        return None
    white = cells > (BLACK + WHITE) / 2
    if not white[0, 0] or white[0, 3] or white[3, 0] or white[3, 3]:
        return None
    bits = sum(int(white[cell]) << place for place, cell in enumerate(_BITS))
    value, check_sum = bits >> 4, bits & 15
    return value if check_sum == _check_sum(value) else None


def _cells(image: np.ndarray) -> np.ndarray:
    """The mean brightness of the middle of each cell, [GRID, GRID]."""
    gray = image.astype(np.float64).mean(axis=0)
    height, width = gray.shape
    cells = np.empty((GRID, GRID))
    for row in range(GRID):
        for column in range(GRID):
            top, left = (row + 0.25) * height / GRID, (column + 0.25) * width / GRID
            bottom, right = (row + 0.75) * height / GRID, (column + 0.75) * width / GRID
            rows = slice(int(top), max(int(top) + 1, round(bottom)))
            columns = slice(int(left), max(int(left) + 1, round(right)))
            cells[row, column] = gray[rows, columns].mean()
    return cells


def _check_sum(value: int) -> int:
    return (value * 7 + (value >> 4) * 11 + 5) % 16
