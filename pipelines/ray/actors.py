"""`Actors`: so many actors, to whom batches are handed out; one that ends is replaced.

What an actor had when it ended is handed out again. A batch that has ended two actors is taken
apart, and an input that ends a third one by itself is given up: it alone has no result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...data.item import InputError, Item

if TYPE_CHECKING:
    from .actor import About, Made

_IN_FLIGHT = 2
"""Batches of an actor: one is read while the next one waits there."""

_MOST_ENDS = 2
"""A batch that has ended so many actors is taken apart; its inputs begin with one less."""

_MOST_FALSE_STARTS = 3
"""Actors in a row that may end before they have said a word."""


@dataclass(kw_only=True, eq=False)
class Batch:
    """What an actor reads in one call."""

    groups: list[list[Item]]
    """Inputs that are read together."""

    ends: int = 0
    """Actors that ended while they read it."""

    @property
    def items(self) -> list[Item]:
        """All its inputs."""
        return [item for group in self.groups for item in group]

    @property
    def is_given_up(self) -> bool:
        """Whether it is one input that ends every actor."""
        return self.ends >= _MOST_ENDS and len(self.items) == 1

    def again(self) -> list[Batch]:
        """What is to be read once it was lost."""
        if self.ends < _MOST_ENDS:
            return [self]
        return [Batch(groups=[[item]], ends=_MOST_ENDS - 1) for item in self.items]


@dataclass(kw_only=True, eq=False)
class _Actor:
    handle: Any
    about: Any  # reference to what it says of itself
    sent: dict[Any, Batch] = field(default_factory=dict)  # by the reference to what is made of it


class Actors:
    """Actors that read batches.

    Args:
        start: Makes one, and gives its handle.
        count: How many there are at a time, >= 1.
    """

    def __init__(self, start: Callable[[], Any], count: int) -> None:
        self._make = start
        self._false_starts = 0
        self._actors = [self._start() for _ in range(count)]

    def about(self) -> About:
        """What one of them says of itself, once it can.

        Raises:
            RuntimeError: They end before they can.
            Exception: What the pipeline raised.
        """
        import ray

        while True:
            try:
                return ray.get(self._actors[0].about)
            except ray.exceptions.RayActorError as error:
                self._replace(self._actors[0], error)
            except ray.exceptions.RayTaskError as error:
                raise _cause_of(error) from error

    def read(
        self, batches: Iterator[Batch], *, keep_text: bool
    ) -> Generator[tuple[Batch, Made | None], None, None]:
        """Yield batches as they are read, with what was made of them; None: it was given up.

        Batches are taken as actors come free.

        Raises:
            RuntimeError: Actors end before they can read.
            Exception: What the pipeline raised.
        """
        import ray

        again: deque[Batch] = deque()
        try:
            while True:
                self._hand_out(again, batches, keep_text)
                sent = {ref: actor for actor in self._actors for ref in actor.sent}
                if not sent:
                    return
                (done,), _ = ray.wait(list(sent), num_returns=1)
                actor = sent[done]
                try:
                    made = ray.get(done)
                except ray.exceptions.ObjectLostError:  # it was read, and its machine is gone
                    again.append(actor.sent.pop(done))
                except ray.exceptions.RayActorError as error:
                    for batch, kept in self._after(actor, error):
                        if kept is not None or batch.is_given_up:
                            yield batch, kept
                        else:
                            again += batch.again()
                except ray.exceptions.RayTaskError as error:
                    raise _cause_of(error) from error
                else:
                    self._false_starts = 0
                    yield actor.sent.pop(done), made
        finally:
            for actor in self._actors:
                for ref in actor.sent:
                    ray.cancel(ref)
                actor.sent = {}

    def end(self) -> None:
        """End them all."""
        import ray

        for actor in self._actors:
            ray.kill(actor.handle)
        self._actors = []

    def _start(self) -> _Actor:
        handle = self._make()
        return _Actor(handle=handle, about=handle.about.remote())

    def _hand_out(self, again: deque[Batch], batches: Iterator[Batch], keep_text: bool) -> None:
        """Give every actor what it can hold, beginning with those that hold least."""
        while True:
            actor = min(self._actors, key=lambda one: len(one.sent))
            if len(actor.sent) >= _IN_FLIGHT:
                return
            batch = again.popleft() if again else next(batches, None)
            if batch is None:
                return
            actor.sent[_send(actor.handle, batch, keep_text)] = batch

    def _after(self, actor: _Actor, error: Exception) -> list[tuple[Batch, Made | None]]:
        """What an actor that ended has read, and what not: the first of these was at work."""
        import ray

        found: list[tuple[Batch, Made | None]] = []
        for ref, batch in actor.sent.items():
            try:
                found.append((batch, ray.get(ref)))
            except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError):
                found.append((batch, None))
        at_work = next((batch for batch, made in found if made is None), None)
        if self._replace(actor, error) and at_work is not None:
            at_work.ends += 1
        return found

    def _replace(self, actor: _Actor, error: Exception) -> bool:
        """Put another one in the place of one that ended; whether that had been able to read."""
        import ray

        try:
            ray.get(actor.about, timeout=0)
            self._false_starts, could_read = 0, True
        except (
            ray.exceptions.RayActorError,
            ray.exceptions.ObjectLostError,
            ray.exceptions.GetTimeoutError,
        ):
            self._false_starts, could_read = self._false_starts + 1, False
        if self._false_starts >= _MOST_FALSE_STARTS:
            raise RuntimeError(
                f"{self._false_starts} actors in a row ended before they could read; is there "
                "memory for the model, and is the same temporal-nn installed on all machines? "
                f"{error}"
            ) from error
        ray.kill(actor.handle)  # it may be there and out of reach
        self._actors[self._actors.index(actor)] = self._start()
        return could_read


def _send(handle: Any, batch: Batch, keep_text: bool) -> Any:
    """Send a batch; what cannot be sent to another process becomes an error of its own."""
    try:
        return handle.read.remote(batch.groups, keep_text=keep_text)
    except TypeError:  # of Ray, whatever the reason was
        batch.groups = [[_sendable(item) for item in group] for group in batch.groups]
        return handle.read.remote(batch.groups, keep_text=keep_text)


def _sendable(item: Item) -> Item:
    import ray

    try:
        ray.cloudpickle.dumps(item.value)
    except Exception as error:  # of any type
        message = f"it cannot be sent to another process: give its path or its bytes ({error})"
        why = InputError(reason="unsupported_input", message=message[:500])
        return Item(id=item.id, error=why, extra=item.extra)
    return item


def _cause_of(error: Any) -> Exception:
    """The exception that an actor raised, as it was."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, Exception) else error
