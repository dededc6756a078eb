"""What users call: pipelines over collections, jobs, and the command line.

Importing this package lets transformers know of the tasks `adaptive-text-classification` and
`adaptive-video-classification`, and of the readers, which it has no other way to find. What is
exported is imported when it is asked for: torch and transformers take seconds.
"""

from typing import TYPE_CHECKING

import temporal.models  # noqa: F401  # the Auto classes of transformers find the readers
from temporal.lazy import exports, when_imported

# At once, as its module has its name: that would take its place, once it is imported.
from .pipeline import pipeline as pipeline

if TYPE_CHECKING:
    from .base import Pipeline as Pipeline
    from .reading import Reading as Reading
    from .reading import ReadingError as ReadingError
    from .tasks.text_classification import TextClassificationPipeline as TextClassificationPipeline
    from .tasks.video_classification import (
        VideoClassificationPipeline as VideoClassificationPipeline,
    )

_NAMES = {
    "Pipeline": ".base",
    "Reading": ".reading",
    "ReadingError": ".reading",
    "TextClassificationPipeline": ".tasks.text_classification",
    "VideoClassificationPipeline": ".tasks.video_classification",
}
__getattr__ = exports(__name__, _NAMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})


def _register_tasks(module: object) -> None:
    from .tasks.transformers_tasks import register_tasks

    register_tasks()


when_imported("transformers.pipelines", _register_tasks)
