"""`made_ahead`: what is needed next is made in a thread while the present one is used."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NoReturn, TypeVar

_Value = TypeVar("_Value")
_Result = TypeVar("_Result")

_QUICK_SECONDS = 1.0
"""Nothing is made ahead of what is used for longer: making is a small part then, and a run that is
stopped has to finish what it has taken."""


def made_ahead(
    make: Callable[[_Value], _Result],
    values: Iterable[_Value],
    may_be_ahead: Callable[[_Value], bool],
) -> Generator[_Result, None, None]:
    """Yield what is made of each value, in order; at most one is made ahead of the one in use.

    Values are taken in the calling thread, the first results are made there, and so are all others
    while results are in use for long. What `values` raises comes after the results before it.

    Args:
        make: from a value to its result.
        values: taken at most one ahead of what is yielded.
        may_be_ahead: whether a value's result may be made in another thread.
    """
    source = iter(values)
    thread: ThreadPoolExecutor | None = None
    following: Callable[[], _Result] | None = None
    is_quick = False
    try:
        while True:
            start = time.perf_counter()
            present = following
            if present is None:
                try:
                    present = partial(make, next(source))
                except StopIteration:
                    return
            following = None
            if is_quick:
                try:
                    value = next(source)
                except StopIteration:
                    pass
                except Exception as error:
                    following = partial(_fail, error)
                else:
                    following = partial(make, value)
                    if may_be_ahead(value):
                        thread = thread or ThreadPoolExecutor(1, "temporal-ahead")
                        following = thread.submit(make, value).result
            yield present()
            is_quick = time.perf_counter() - start < _QUICK_SECONDS
    finally:
        if thread is not None:
            thread.shutdown(wait=True, cancel_futures=True)


def _fail(error: Exception) -> NoReturn:
    raise error
