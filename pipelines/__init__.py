"""What users call: pipelines over collections, jobs, and the command line.

Importing this package registers the tasks `adaptive-text-classification` and
`adaptive-video-classification` with transformers, which has no other way to find them.
"""

from .pipeline import Pipeline as Pipeline
from .pipeline import pipeline as pipeline
from .reading import Reading as Reading
from .reading import ReadingError as ReadingError
from .tasks.text_classification import TextClassificationPipeline as TextClassificationPipeline
from .tasks.transformers_tasks import register_tasks
from .tasks.video_classification import VideoClassificationPipeline as VideoClassificationPipeline

register_tasks()
