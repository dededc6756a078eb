"""The command line with `FakePipe` for a pipeline; as a script, `python fake_cli.py run ...`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

BUILT: list[dict[str, Any]] = []
"""The arguments of every pipeline that was built in this process."""


def fake_pipeline_module() -> ModuleType:
    """Make a stand-in for `temporal.pipelines.pipeline`."""
    from fake_pipe import FakePipe

    def pipeline(task: str, **options: Any) -> FakePipe:
        BUILT.append({"task": task, **options})
        budget = options["budget"]
        if budget is not None and not 0 <= budget <= 1:
            raise ValueError(f"budget ({budget}) must be >= 0 and <= 1")
        if options["model"] == "no/such/model":
            raise OSError("model (no/such/model) was not found; give a folder or a hub id")
        tell = os.environ.get("FAKE_TELL")
        delay_seconds = float(os.environ.get("FAKE_DELAY_SECONDS", "0"))
        return FakePipe(delay_seconds, tell=Path(tell) if tell else None)

    module = ModuleType("temporal.pipelines.pipeline")
    module.pipeline = pipeline  # type: ignore[attr-defined]  # a module made by hand
    return module


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.modules["temporal.pipelines.pipeline"] = fake_pipeline_module()
    from temporal.pipelines.command.cli import main

    main()
