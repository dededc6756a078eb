"""Run many readers at once and keep every stage's batches dense.

A reader is plain sequential code: it reads a unit, computes, decides, and goes on. Whenever it
needs a computation it awaits a `Stage`; whenever it needs units it awaits its source's handle. The
engine holds all readers at these awaits, joins the rows that wait for the same stage into one
batch, runs it, and hands every reader its rows back. As readers halt, new ones enter. That one
mechanism gives compaction and refill for early exit over frames, chunks, tokens and depth.

A new reader, whole (`backbone` and `head` are any modules, `videos` any sources of frames):

    from temporal.engine import Engine, Stage
    from temporal.policies.read import coarse_to_fine

    class Glance:
        def __init__(self, backbone, head):
            self.features = Stage(backbone)              # batched over all readers in flight
            self.head = head

        async def read(self, video):
            total = 0
            num_frames = await video.open()              # in a thread, as reads are
            for step, frame in enumerate(coarse_to_fine(num_frames, 10)):
                pixels = await video.read([frame])       # decoded now
                total = total + await self.features(pixels.float())
                scores = self.head(total / (step + 1)).softmax(-1)
                if scores.max() > 0.9:
                    break
            return scores

    for outcome in Engine(max_in_flight=32).run(Glance(backbone, head).read, videos):
        print(outcome.index, outcome.value if outcome.error is None else outcome.error)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from .macs import load_counter
from .scheduler import EngineRun, EngineSettings, Outcome, ReadFunction
from .slots import Slots
from .source import Source
from .stage import Stage

__all__ = ["Engine", "Outcome", "Slots", "Stage", "run_alone"]


class Engine:
    """Drives readers over a stream of sources in bounded memory.

    Args:
        max_in_flight: sources that are being read at one time (at least 1). Memory is bounded by
            this number whatever the length of the stream.
        max_batch_size: rows after which a stage runs without waiting for more; None: never early.
        num_threads: threads that read from sources which are not in memory.
        deterministic: take the results of source reads in the order in which they were asked for.
            Batches then depend on the inputs alone, never on timing, so that the same inputs give
            the same bits. False: take them as they come, and start a partial batch when waiting
            for company would cost more than a joined batch saves (measured as it goes).
        count_macs: count multiply-accumulates (once per stage and shape, while it runs).

    Raises:
        ValueError: a number is below 1.
    """

    def __init__(
        self,
        max_in_flight: int = 32,
        *,
        max_batch_size: int | None = None,
        num_threads: int = 2,
        deterministic: bool = False,
        count_macs: bool = True,
    ) -> None:
        for name, number in (
            ("max_in_flight", max_in_flight),
            ("max_batch_size", 1 if max_batch_size is None else max_batch_size),
            ("num_threads", num_threads),
        ):
            if number < 1:
                raise ValueError(f"{name} ({number}) must be >= 1")
        self.settings = EngineSettings(
            max_in_flight=max_in_flight,
            max_batch_size=max_batch_size,
            num_threads=num_threads,
            deterministic=deterministic,
            count_macs=count_macs,
        )
        if count_macs:
            load_counter()

    def run(
        self,
        read: ReadFunction,
        items: Iterable[Source | Sequence[Source]],
        *,
        order: Literal["input", "completed"] = "input",
    ) -> Iterator[Outcome]:
        """Read every item and yield one `Outcome` per source, lazily.

        An item is a source, or a list or tuple of sources that are read as one cohort in lock-step
        (`read` then gets a list of handles and returns a list). Items are taken from the stream
        only as readers finish and outcomes are consumed. An exception in a reader ends that reader
        alone; when it ends a cohort, the cohort's members are read again one by one, so that only
        the guilty one fails. Closing the iterator cancels all readers and frees what they hold.
        """
        if order not in ("input", "completed"):
            raise ValueError(f"order ({order!r}) must be 'input' or 'completed'")
        run = EngineRun(self.settings, read, iter(items), in_order=order == "input")
        try:
            yield from run.outcomes()
        finally:
            run.close()


def run_alone(read: ReadFunction, item: Source | Sequence[Source]) -> Outcome | list[Outcome]:
    """Read one source (or one cohort) in the calling thread's engine, with the same code.

    The way to debug a reader: the traceback leads through its own lines.

    Args:
        read: as for `Engine.run`.
        item: a source, or a list or tuple of them.

    Returns:
        What became of the source, its exception in `error`; for a cohort, one for each source.
    """
    outcomes = list(Engine(max_in_flight=1, num_threads=1, deterministic=True).run(read, [item]))
    return outcomes[0] if isinstance(item, Source) else outcomes
