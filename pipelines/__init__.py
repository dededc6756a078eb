"""What users call: pipelines over collections, jobs, and the command line.

Importing this package lets transformers know of the tasks `adaptive-text-classification` and
`adaptive-video-classification`, and of the readers, which it has no other way to find. What is
exported is imported when it is asked for: torch and transformers take seconds.
"""

import importlib
from typing import TYPE_CHECKING

import temporal.models  # noqa: F401  # the Auto classes of transformers find the readers
from temporal.lazy import exports, when_imported

# At once, as its module has its name: that would take its place, once it is imported.
from .pipeline import pipeline as pipeline

if TYPE_CHECKING:
    from .base import Pipeline as Pipeline
    from .calibration.calibrate import Calibration as Calibration
    from .calibration.calibrate import CannotCalibrate as CannotCalibrate
    from .calibration.calibrate import calibrate as calibrate
    from .calibration.calibrate import save_calibration as save_calibration
    from .calibration.options import CalibrationOptions as CalibrationOptions
    from .good_frames import select as select
    from .jobs.job import run as run
    from .jobs.manifest import OutputRefused as OutputRefused
    from .jobs.manifest import RunManifest as RunManifest
    from .jobs.store.ledger import CommitError as CommitError
    from .jobs.store.ledger import read_rows as read_rows
    from .jobs.table.row import row_schema as row_schema
    from .jobs.table.rows import rows as rows
    from .jobs.table.summary import Summary as Summary
    from .reading import Reading as Reading
    from .reading import ReadingError as ReadingError
    from .reading import ReadingFailed as ReadingFailed
    from .search.indexing import IndexSummary as IndexSummary
    from .search.result import SearchResult as SearchResult
    from .search.search import VideoSearch as VideoSearch
    from .tasks.registry import TaskRecord as TaskRecord
    from .tasks.registry import register_task as register_task
    from .tasks.text_classification import TextClassificationPipeline as TextClassificationPipeline
    from .tasks.video_classification import (
        VideoClassificationPipeline as VideoClassificationPipeline,
    )

_NAMES = {
    "Calibration": ".calibration.calibrate",
    "CalibrationOptions": ".calibration.options",
    "CannotCalibrate": ".calibration.calibrate",
    "CommitError": ".jobs.store.ledger",
    "IndexSummary": ".search.indexing",
    "OutputRefused": ".jobs.manifest",
    "Pipeline": ".base",
    "Reading": ".reading",
    "ReadingError": ".reading",
    "ReadingFailed": ".reading",
    "RunManifest": ".jobs.manifest",
    "SearchResult": ".search.result",
    "Summary": ".jobs.table.summary",
    "TaskRecord": ".tasks.registry",
    "TextClassificationPipeline": ".tasks.text_classification",
    "VideoClassificationPipeline": ".tasks.video_classification",
    "VideoSearch": ".search.search",
    "calibrate": ".calibration.calibrate",
    "read_rows": ".jobs.store.ledger",
    "register_task": ".tasks.registry",
    "row_schema": ".jobs.table.row",
    "rows": ".jobs.table.rows",
    "run": ".jobs.job",
    "save_calibration": ".calibration.calibrate",
    "select": ".good_frames",
}
__getattr__ = exports(__name__, _NAMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})


def _register_tasks(module: object) -> None:
    # The tasks' own module may be what imports that of transformers, and is not whole then.
    importlib.import_module(".tasks.transformers_tasks", __name__)


when_imported("transformers.pipelines", _register_tasks)
