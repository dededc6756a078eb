"""`Stage`: one batched computation that all readers in flight share."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from .checks import is_out_of_memory
from .macs import count_macs, count_macs_by_length, count_macs_by_memory
from .memory import Memory
from .packed import Packed
from .rows import WrongRowsError, check_rows, device_of, join_outputs, one_row, split_by_caller
from .slots import Slot, Slots
from .stage_call import StageCall as StageCall
from .stage_call import halved, join_calls, num_elements, without_padding


class Stage:
    """A function of tensors whose first dimension is the batch, run on joined batches.

    `await stage(x, ...)` hands `x` (any number of rows) to the stage's queue and returns the
    function's result for these rows. The function must treat rows independently: a row's result
    does not depend on its companions. Where rows are sequences, an argument or a result may be a
    `Packed`, which joins and splits without padding; each row then costs by its own length.

    Args:
        fn: of tensors, returns a tensor, or a tuple, list, dict or `ModelOutput` of tensors
            (nested as deep as need be), each with as many rows as the arguments.
        name: for counters and messages; default: the function's name.
        counts_macs: the function's last result says how many MACs each row took (int64 `[n]`); it
            is not handed on. For kernels, which torch's counter cannot see.
        pad: join calls whose second dimension differs by padding it with zeros at the end, and cut
            results back. The function must mask the padding. A result `[B, T, ...]` of three or
            more dimensions is cut; one of two has a row for each source, and no padding in it.
            Of a `Packed` it says that the function itself pads: each row costs as the longest.
        warms_up: of `counts_macs`: run a row once, outside the clock, before the first batch; for
            what is compiled then.
        slots: what the stage remembers of each row between its calls. Every call then names a slot
            for each row, and the function gets `memory=`, a `Memory` of the batch's rows.

    Attributes:
        calls: batches that ran.
        rows: rows that ran, over all batches. What was not read is not in this count.
        seconds: time spent computing. What a kernel's compilation takes, and finding out how many
            MACs a length has, is not in it.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        name: str | None = None,
        pad: bool = False,
        counts_macs: bool = False,
        warms_up: bool = True,
        slots: Slots | None = None,
    ) -> None:
        self.fn = fn
        self.slots = slots
        self.name = str(name or getattr(fn, "__name__", type(fn).__name__))
        self.pad = pad
        self.counts_macs = counts_macs
        self.calls = 0
        self.rows = 0
        self.seconds = 0.0
        self._aside_seconds = 0.0  # of the batch that runs: spent on counting, not on its rows
        self._most_elements: int | None = None  # of a batch, where memory did not suffice for more
        self._is_warm = not (counts_macs and warms_up)
        self._macs_per_row: dict[tuple[Any, ...], float] = {}
        self._macs_of_length: dict[tuple[Any, ...], Callable[[int], int]] = {}  # of Packed rows
        self._macs_of_memory_length: dict[tuple[Any, ...], Callable[[int, int], int]] = {}
        self._best_seconds: dict[int, float] = {}  # by batch size, rounded to a power of two

    def __call__(
        self,
        *args: Tensor | Packed,
        rows: Sequence[int] | None = None,
        slots: Slot | Sequence[Slot] | None = None,
    ) -> StageCall:
        """Queue a call.

        Args:
            *args: tensors `[n, ...]`, or `Packed` of n rows.
            rows: in a cohort, which of its members each of the n rows belongs to (so that each is
                charged for its own). None: all members alike.
            slots: of a stage with slots: the slot of each of the n rows.

        Raises:
            ValueError: arguments or slots are not one for each row, or slots are another stage's.
        """
        if slots is None and self.slots is None:
            return StageCall(self, args, rows)
        return StageCall(self, args, rows, self._check_slots(slots, len(args[0])))

    def slot(self) -> Slot:
        """A slot for one row that this stage is to remember; the engine frees it with its reader.

        Raises:
            ValueError: the stage has no slots.
        """
        if self.slots is None:
            raise ValueError(
                f"stage {self.name!r} remembers nothing: make it with slots=Slots(...)"
            )
        return self.slots.slot()

    def __repr__(self) -> str:
        return f"Stage({self.name}, calls={self.calls}, rows={self.rows})"

    @property
    def fixed_seconds(self) -> float:
        """The part of a batch's time that does not depend on its size, as measured so far."""
        if len(self._best_seconds) < 2:
            return 0.0
        small, large = min(self._best_seconds), max(self._best_seconds)
        at_small, at_large = self._best_seconds[small], self._best_seconds[large]
        return max(0.0, (at_small * large - at_large * small) / (large - small))

    @property
    def macs_per_row(self) -> float | None:
        """MACs of one row, where every row costs the same; None before that is known."""
        known = set(self._macs_per_row.values())
        return known.pop() if len(known) == 1 else None

    def take_batch(self, calls: list[StageCall], max_rows: int | None) -> list[StageCall]:
        """The calls, oldest first, that can run as one batch of at most `max_rows` rows."""
        first = self._key(calls[0].args)
        batch, num_rows = [calls[0]], calls[0].num_rows
        for call in calls[1:]:
            fits = max_rows is None or num_rows + call.num_rows <= max_rows
            if fits and self._key(call.args) == first:
                batch.append(call)
                num_rows += call.num_rows
        return batch

    def run(
        self, batch: list[StageCall], *, count_macs: bool
    ) -> tuple[list[Any], float, Sequence[float]]:
        """Run joined calls. Returns each call's result, the seconds, and the MACs of each row.

        Where memory does not suffice for the batch, it is run in halves, and so is each later one
        that is as large (`StageCall.is_halved`).

        Raises:
            WrongRowsError: the function returned another number of rows than it was given.
        """
        if not self._is_warm:
            self._warm_up(batch[0])
        self._aside_seconds = 0.0
        start = time.perf_counter()
        if self.slots is None:
            results, macs = self._run_fitting(batch, count_macs, [])
        else:
            results, macs = self._run_remembering(batch, self.slots, count_macs)
        seconds = time.perf_counter() - start - self._aside_seconds
        num_rows = len(macs)
        self.rows += num_rows
        self.seconds += seconds
        bucket = 1 << max(num_rows - 1, 0).bit_length()
        self._best_seconds[bucket] = min(seconds, self._best_seconds.get(bucket, seconds))
        return results, seconds, macs

    def _run_remembering(
        self, batch: list[StageCall], slots: Slots, count: bool
    ) -> tuple[list[Any], Sequence[float]]:
        """What the function stored counts only when all else has succeeded."""
        memories: list[Memory] = []
        with slots.lock:
            try:
                ran = self._run_fitting(batch, count, memories)
            except BaseException:
                for memory in memories:
                    memory.undo()
                raise
            for memory in memories:
                memory.commit()
        return ran

    def _run_fitting(
        self, batch: list[StageCall], count: bool, memories: list[Memory]
    ) -> tuple[list[Any], Sequence[float]]:
        """Run a batch as one, or in halves where it does not fit into memory."""
        can_be_halved = len(batch) > 1 or batch[0].num_rows > 1
        if not (can_be_halved and self._is_too_large(batch)):
            try:
                ran = self._run_joined(batch, count, memories)
                if self._most_elements is not None:  # a large row has shown that more fits
                    self._most_elements = max(self._most_elements, num_elements(batch))
                return ran
            except Exception as error:
                if not can_be_halved or not is_out_of_memory(error):
                    raise
            # Here nothing holds the error any more, nor what was computed before it.
            self._most_elements = max(map(num_elements, halved(batch)))
        for call in batch:
            call.is_halved = True
        halves = [self._run_fitting(half, count, memories) for half in halved(batch)]
        results = [result for part, _ in halves for result in part]
        macs = [number for _, part in halves for number in part]
        return results if len(batch) > 1 else [join_outputs(results)], macs

    def _is_too_large(self, batch: list[StageCall]) -> bool:
        return self._most_elements is not None and num_elements(batch) > self._most_elements

    def _run_joined(
        self, batch: list[StageCall], count: bool, memories: list[Memory]
    ) -> tuple[list[Any], Sequence[float]]:
        memory = None
        if self.slots is not None:
            rows = [slot for call in batch for slot in call.slots]
            memory = Memory(self.slots, rows, device_of(batch[0].args[0]))
        try:
            num_rows = sum(call.num_rows for call in batch)
            output, macs = self._compute(join_calls(batch, pad=self.pad), num_rows, count, memory)
            check_rows(output, num_rows, self.name)
            if len(macs) != num_rows:
                raise WrongRowsError(
                    f"stage {self.name!r} was given {num_rows} rows and returned the MACs of "
                    f"{len(macs)}: with counts_macs its last result must have a number for each row"
                )
            results = self._split(output, batch)
        except BaseException:
            if memory is not None:
                memory.undo()
            raise
        if memory is not None:
            memories.append(memory)
        self.calls += 1
        return results, macs

    def _check_slots(self, slots: Slot | Sequence[Slot] | None, num_rows: int) -> Sequence[Slot]:
        slots = [slots] if isinstance(slots, Slot) else slots
        if self.slots is None:
            raise ValueError(f"stage {self.name!r} remembers nothing: call it without slots")
        if slots is None or len(slots) != num_rows:
            raise ValueError(
                f"stage {self.name!r} needs slots=, one for each of {num_rows} rows, not "
                f"{'none' if slots is None else len(slots)}: make them with stage.slot()"
            )
        if any(slot.pool is not self.slots for slot in slots):
            raise ValueError(
                f"slots of stage {self.name!r} must be its own: stage.slot() makes them"
            )
        return tuple(slots)

    def _warm_up(self, call: StageCall) -> None:
        """Compile a kernel and make its tables, which takes seconds once, outside the clock."""
        if call.num_rows:
            args = [arg.select([0]) if isinstance(arg, Packed) else arg[:1] for arg in call.args]
            self._trial(0, args)
            self._is_warm = True

    def _trial(self, cached: int, args: Sequence[Tensor | Packed]) -> Any:
        """Run one row beside all others, after so many units that its slot holds."""
        if self.slots is None:
            return self.fn(*args)
        trial = self.slots.scratch()
        device = device_of(args[0])
        slot = trial.slot()
        if trial.growing and cached:
            memory = Memory(trial, [slot], device)
            memory.extend(cached)
            memory.commit()
        return self.fn(*args, memory=Memory(trial, [slot], device))

    def _compute(
        self, args: tuple[Any, ...], num_rows: int, count: bool, memory: Memory | None
    ) -> tuple[Any, Sequence[float]]:
        fn = self.fn if memory is None else functools.partial(self.fn, memory=memory)
        if self.counts_macs:
            *output, macs_n = fn(*args)
            return output[0] if len(output) == 1 else tuple(output), macs_n.reshape(-1).tolist()
        if not count or not num_rows:
            return fn(*args), [0.0] * num_rows
        if memory is not None and memory.slots.growing:
            return fn(*args), self._macs_of_memory(args, memory)
        for arg in args:
            if isinstance(arg, Packed):
                return fn(*args), self._macs_of_packed(args, arg.lengths)
        shape = tuple(arg.shape[1:] if isinstance(arg, Tensor) else arg for arg in args)
        if shape not in self._macs_per_row:
            output, macs = count_macs(fn, *args)
            self._macs_per_row[shape] = macs / num_rows
        else:
            output = fn(*args)
        return output, [self._macs_per_row[shape]] * num_rows

    def _macs_of_packed(self, args: tuple[Any, ...], lengths: tuple[int, ...]) -> list[int]:
        """The MACs of each row by its length."""
        key = self._key(args)
        start = time.perf_counter()
        if key not in self._macs_of_length:
            self._macs_of_length[key] = count_macs_by_length(
                lambda length: self._trial(0, [one_row(arg, length) for arg in args])
            )
        macs = self._macs_of_length[key]
        if self.pad:
            counts = [macs(max(lengths))] * len(lengths)
        else:
            counts = [macs(length) for length in lengths]
        self._aside_seconds += time.perf_counter() - start
        return counts

    def _macs_of_memory(self, args: tuple[Any, ...], memory: Memory) -> list[int]:
        """The MACs of each row by its new units and those that it remembered."""
        key = tuple(self._key([arg]) if isinstance(arg, Packed) else arg.shape[1:] for arg in args)
        start = time.perf_counter()
        if key not in self._macs_of_memory_length:
            self._macs_of_memory_length[key] = count_macs_by_memory(
                lambda new, cached: self._trial(cached, [one_row(arg, new) for arg in args])
            )
        macs = self._macs_of_memory_length[key]
        packed = next((arg for arg in args if isinstance(arg, Packed)), None)
        new: Sequence[int] = [1] * len(memory) if packed is None else packed.lengths
        cached: Sequence[int] = memory.cached
        if self.pad:
            new, cached = [max(new)] * len(new), [max(cached)] * len(cached)
        counts = [macs(n, c) for n, c in zip(new, cached, strict=True)]
        self._aside_seconds += time.perf_counter() - start
        return counts

    def _key(self, args: Sequence[Any]) -> tuple[Any, ...]:
        """Equal for arguments that can be joined."""
        skip = 2 if self.pad else 1
        return tuple(
            ("packed", arg.values.shape[1:], arg.values.dtype, arg.values.device)
            if isinstance(arg, Packed)
            else (arg.shape[skip:], arg.dtype, arg.device)
            for arg in args
        )

    def _split(self, output: Any, batch: list[StageCall]) -> list[Any]:
        if len(batch) == 1:
            return [output]
        sizes = [call.num_rows for call in batch]
        cut = functools.partial(without_padding, batch=batch) if self.pad else list
        return split_by_caller(output, sizes, cut)
