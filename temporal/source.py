"""The source protocols: what readers know of a video or a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from .trace import Cost

_Size = tuple[int, int]  # height, width
_Region = tuple[int, int, int, int]  # top, left, height, width


KIND_OF_UNIT: dict[str, Literal["text", "video"]] = {
    **dict.fromkeys(("token", "chunk", "sentence"), "text"),
    **dict.fromkeys(("frame", "clip"), "video"),
}
"""What kind of source each unit is of."""


@runtime_checkable
class Source(Protocol):
    """A sequence that can be read in part.

    `temporal.data.Video` and `temporal.data.Document` are sources; anything with these members is.
    """

    id: str
    """Names the source in results and errors."""

    unit: str
    """What it is made of: `"frame"`, `"token"` ..."""

    in_memory: bool
    """True: `read` is a look-up and runs at once. False: it may block (decoding, a disk) and runs
    in the engine's threads while other readers compute."""

    def __len__(self) -> int:
        """Units in the source."""
        ...

    def read(self, units: Sequence[int], **options: Any) -> Any:
        """Return the units asked for, in the order asked for. This is where the cost is paid."""
        ...

    @property
    def spent(self) -> Cost:
        """What the reads so far cost, counted while they ran; it only grows."""
        ...

    def cost(self, units: Sequence[int]) -> Cost:
        """What reading these units would cost, known before reading."""
        ...


class Sound(Protocol):
    """The sound of a source, as its `audio()` gives it; `None` where there is none."""

    @property
    def samples(self) -> Any:
        """float32 `[T]` in [-1, 1], one channel."""
        ...

    @property
    def rate(self) -> int:
        """Samples of a second."""
        ...

    @property
    def start_seconds(self) -> float:
        """When the first one is heard, on the clock of `index.timestamps_seconds`."""
        ...


@runtime_checkable
class FrameSource(Source, Protocol):
    """A source of frames, which also offers what a policy may look at before it reads.

    `temporal.data.Video`, `IsolatedVideo` and `Frames` are such sources. A reader asks none of them
    what it is: it awaits these members of its `Handle`, which blocks no other reader and writes
    down what they cost. A source that has sound gives it by `audio()`, too. (`isinstance` looks at
    `index`, and so opens the source.)
    """

    @property
    def index(self) -> Any:
        """Times, keyframes, sizes and prices of all frames, before anything is decoded."""
        ...

    def expect(
        self, units: Sequence[int], *, size: _Size | None = None, region: _Region | None = None
    ) -> None:
        """Name frames that may be read later, so that those on the way to others are kept."""
        ...

    def read(  # type: ignore[override]  # a source of frames says which options there are
        self, units: Sequence[int], *, size: _Size | None = None, region: _Region | None = None
    ) -> Any:
        """Return frames, exact: uint8 `[K, 3, height, width]`, in the order asked for.

        Args:
            units: frame indices.
            size: (height, width) to scale to; None: the region's own.
            region: (top, left, height, width) in pixels of the upright frame as it is shown, top
                left (0, 0): cut out first, scaled then. None: the whole frame.
        """
        ...

    def glance(self, units: Sequence[int], *, size: _Size = (64, 64)) -> Any:
        """Return frames, small, to look at and not to be exact: uint8 `[K, 3, height, width]`.

        What was decoded stays on a shelf for a while: a read of it decodes nothing.
        """
        ...

    def motion(self) -> Any:
        """How much each frame seems to change, float32 `[N]`; nothing is decoded."""
        ...

    def vectors(self, units: Sequence[int]) -> Any:
        """How blocks of these frames moved, as the encoder saw it."""
        ...
