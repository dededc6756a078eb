"""`OwnPipeline`: a pipeline that is made where it is first asked for, and not sent there."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Any

from temporal.data.decode.decoders.backends import limit_cores


class OwnPipeline:
    """The arguments of `pipeline`, and in each process the pipeline that they make.

    Args:
        made_by: The arguments.
    """

    def __init__(self, made_by: dict[str, Any]) -> None:
        self.made_by = made_by
        self._pipe: Any = None
        self._kept: ExitStack | None = None

    @property
    def pipe(self) -> Any:
        """That of this process. Decoders that can be killed are started once, for all calls."""
        if self._pipe is None:
            from ..pipeline import pipeline

            _take_own_cores()
            self._pipe = pipeline(**self.made_by)
            if hasattr(self._pipe, "keep_workers"):
                self._kept = ExitStack()
                self._kept.enter_context(self._pipe.keep_workers())
        return self._pipe

    def __getstate__(self) -> dict[str, Any]:
        return {"made_by": self.made_by, "_pipe": None, "_kept": None}


def _take_own_cores() -> None:
    """In an actor of Ray, let decoders use the cores that are set aside for it, at least one.

    Ray counts `num_cpus` and holds nothing to it but the model's threads (`OMP_NUM_THREADS`).
    """
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return
    context = ray.get_runtime_context()
    if context.get_actor_id() is not None:
        limit_cores(max(1, int(context.get_assigned_resources().get("CPU", 0))))
