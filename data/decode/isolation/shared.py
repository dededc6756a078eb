"""Memory that the caller and a decode worker share, so that no frame goes through a pipe.

The caller makes the memory, the worker maps it by the path of the caller's own descriptor. It has
no name in any file system: whatever is killed, at whatever moment, the kernel takes it back with
the last process that holds it, and the size of `/dev/shm` does not limit it. All its pages are
there before the worker sees it, so a machine without room says so at once, instead of killing
whoever writes to it; frames then go through the pipe, as they do where the system is not Linux.

Fresh shared pages are dear (for 16 frames of 720p eight times the time of a copy), so the memory is
used again and what is read is copied out of it: frames that a caller has are its own.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import queue
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_KEPT_BYTES = 64 * 2**20
"""Memory that is larger than this is given back after the read: 16 frames of 720p are kept."""

_STEP_BYTES = 2**20  # grow by whole steps: reads of similar sizes share the memory


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where a worker finds the memory."""

    place: int
    """Number among the caller's buffers for this worker, which keeps one mapping for each."""

    process: int
    """The caller's process id."""

    descriptor: int
    """The caller's file descriptor."""

    identity: tuple[int, int]
    """Device and inode: the descriptor's number may mean another file by now."""

    num_bytes: int
    """Bytes that may be written."""


class SharedBuffer:
    """The caller's side of one piece of shared memory.

    Args:
        place: Its number among the buffers for one worker.
    """

    def __init__(self, place: int) -> None:
        self._place = place
        self._memory: mmap.mmap | None = None
        self._descriptor = -1
        self._identity = (0, 0)

    def fit(self, num_bytes: int) -> Address | None:
        """Make it large enough; None where that cannot be, and the pipe is to be used."""
        if not hasattr(os, "memfd_create"):
            return None
        if self._memory is None or len(self._memory) < num_bytes:
            self.free()
            try:
                self._allocate(-(-max(num_bytes, 1) // _STEP_BYTES) * _STEP_BYTES)
            except OSError:  # no room, or no more descriptors
                self.free()
                return None
        return Address(
            place=self._place,
            process=os.getpid(),
            descriptor=self._descriptor,
            identity=self._identity,
            num_bytes=num_bytes,
        )

    def copy(self, shape: Sequence[int]) -> NDArray[np.uint8]:
        """Copy what the worker wrote: uint8 of this shape, from the beginning."""
        assert self._memory is not None
        count = int(np.prod(shape))
        return np.frombuffer(self._memory, np.uint8, count).reshape(shape).copy()

    def trim(self) -> None:
        """Give memory back that is too large to be kept."""
        if self._memory is not None and len(self._memory) > MAX_KEPT_BYTES:
            self.free()

    def free(self) -> None:
        """Give the memory back; a worker that still writes to it disturbs nobody."""
        if self._memory is not None:
            self._memory.close()
            self._memory = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.free()

    def _allocate(self, num_bytes: int) -> None:
        import fcntl  # not on all platforms, and here only where memfd_create is

        self._descriptor = os.memfd_create("temporal-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.posix_fallocate(self._descriptor, 0, num_bytes)
        # A decoder that a hostile file has taken over shall not pull the memory from under us.
        fcntl.fcntl(self._descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        self._memory = mmap.mmap(self._descriptor, num_bytes, prot=mmap.PROT_READ)
        facts = os.fstat(self._descriptor)
        self._identity = (facts.st_dev, facts.st_ino)


class SharedBuffers:
    """The buffers that a caller shares with one worker.

    There are two, so that the worker can fill one while the other is copied out; a third thread
    waits for its turn.
    """

    def __init__(self) -> None:
        self._free: queue.LifoQueue[SharedBuffer] = queue.LifoQueue()
        for place in (1, 0):
            self._free.put(SharedBuffer(place))

    @contextlib.contextmanager
    def lend(self) -> Iterator[SharedBuffer]:
        """Hold a buffer alone. If the body fails, its memory is not used again."""
        buffer = self._free.get()
        try:
            yield buffer
            buffer.trim()
        except BaseException:
            buffer.free()  # the worker may be writing to it
            raise
        finally:
            self._free.put(buffer)

    def free(self) -> None:
        """Give back the memory of the buffers that nobody has."""
        with contextlib.suppress(queue.Empty):
            idle = [self._free.get_nowait() for _ in range(self._free.qsize())]
            for buffer in reversed(idle):
                buffer.free()
                self._free.put(buffer)


_mapped: dict[int, tuple[tuple[int, int], mmap.mmap]] = {}  # in a worker: place -> identity, memory


def map_shared(address: Address | None, num_bytes: int) -> NDArray[np.uint8] | None:
    """Map the caller's memory in a worker.

    Args:
        address: Where it is; None: nowhere.
        num_bytes: How much is needed.

    Returns:
        uint8 [num_bytes], to be written to and let go of before the next call; None if it cannot be
        had or is too small: then the pipe is to be used.
    """
    if address is None or num_bytes > address.num_bytes:
        return None
    identity, memory = _mapped.pop(address.place, (None, None))
    if memory is None or identity != address.identity:
        try:
            memory = _open(address)
        except (OSError, ValueError):  # hidden from us, gone, or more than this process may map
            return None
    if len(memory) <= MAX_KEPT_BYTES:
        _mapped[address.place] = (address.identity, memory)
    return np.frombuffer(memory, np.uint8, num_bytes)


def _open(address: Address) -> mmap.mmap:
    path = f"/proc/{address.process}/fd/{address.descriptor}"
    # Asked before it is opened: by now it may be something that must not even be opened.
    facts = os.stat(path)
    if (facts.st_dev, facts.st_ino) != address.identity:
        raise FileNotFoundError(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return mmap.mmap(descriptor, facts.st_size)
    finally:
        os.close(descriptor)
