"""A page to draw on from the top: positions in pixels from the left and upper edge."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.transforms import IdentityTransform

DPI = 160

INK = "#16202c"
READ = "#1f5fa8"
READ_LIGHT = "#cfe2f6"
SKIMMED = "#e0a33a"
SKIMMED_LIGHT = "#fbeccb"
SKIPPED = "#d9dee4"
UNREACHED = "#f3f5f7"
FAINT = "#a9b3bd"
QUIET = "#64717f"
HALT = "#c8374a"


class Canvas:
    """Collects what is drawn, and makes the page as high as it needs to be.

    It uses no global state of matplotlib, so it works in any thread and leaves a user's own
    figures alone.

    Args:
        width: Width of the page, pixels.
    """

    def __init__(self, width: int = 1600) -> None:
        self.width = width
        self._draws: list[Callable[[Figure, int], None]] = []
        self._ruler = FigureCanvasAgg(Figure(dpi=DPI)).get_renderer()

    def width_of(self, text: str, *, points: float, bold: bool = False) -> float:
        """Width of a line of text, pixels."""
        font = FontProperties(size=points, weight="bold" if bold else "normal")
        # Dollar signs are text here, never formulas.
        return float(self._ruler.get_text_width_height_descent(text, font, False)[0])

    def text(
        self,
        x: float,
        baseline: float,
        text: str,
        *,
        points: float,
        color: str = INK,
        bold: bool = False,
        align: str = "left",
    ) -> None:
        """Write a line of text with its baseline `baseline` pixels below the upper edge."""

        def draw(figure: Figure, height: int) -> None:
            figure.text(
                x,
                height - baseline,
                text,
                fontsize=points,
                color=color,
                weight="bold" if bold else "normal",
                ha=align,
                va="baseline",
                parse_math=False,
                transform=IdentityTransform(),
            )

        self._draws.append(draw)

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        color: str,
        edge: str | None = None,
        hatch: str | None = None,
    ) -> None:
        """Fill a rectangle whose upper left corner is at `x`, `y`."""

        def draw(figure: Figure, page: int) -> None:
            figure.add_artist(
                Rectangle(
                    (x, page - y - height),
                    width,
                    height,
                    facecolor=color,
                    edgecolor=edge or "none",
                    linewidth=0.8,
                    hatch=hatch,
                    transform=IdentityTransform(),
                )
            )

        self._draws.append(draw)

    def line(
        self, xs: tuple[float, ...], ys: tuple[float, ...], *, color: str, points: float = 0.8
    ) -> None:
        """Draw a line through points."""

        def draw(figure: Figure, page: int) -> None:
            figure.add_artist(
                Line2D(
                    xs,
                    [page - y for y in ys],
                    color=color,
                    linewidth=points,
                    transform=IdentityTransform(),
                )
            )

        self._draws.append(draw)

    def image(self, x: float, y: float, pixels: np.ndarray[Any, Any]) -> None:
        """Put pixels, uint8 `[H, W, 3]`, one to one with the upper left corner at `x`, `y`."""

        def draw(figure: Figure, page: int) -> None:
            figure.figimage(
                pixels, xo=round(x), yo=round(page - y - pixels.shape[0]), origin="upper"
            )

        self._draws.append(draw)

    def save(self, path: str | os.PathLike[str], *, height: float) -> None:
        """Write the page as a PNG of `width` x `height` pixels.

        Raises:
            OSError: the file cannot be written.
        """
        rows = round(height)
        figure = Figure(figsize=(self.width / DPI, rows / DPI), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        for draw in self._draws:
            draw(figure, rows)
        figure.savefig(path, format="png", dpi=DPI)
