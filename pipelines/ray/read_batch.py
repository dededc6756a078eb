"""`ReadBatch`: what `map_batches` of a dataset of Ray calls, in actors or anywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..batches import read_batch
from .own_pipeline import OwnPipeline

if TYPE_CHECKING:
    import pyarrow as pa


class ReadBatch:
    """Reads batches with a pipeline of its own: see `temporal.pipelines.batches.read_batch`.

    The pipeline is made when the first batch comes, where that comes: until then, and on its way
    to another process, this is no more than its arguments. So it is a class for `map_batches` of
    Ray, and an instance is a function for `datasets.Dataset.map(batched=True, num_proc=)` and
    other engines that send functions to their workers.

    Args:
        task, model: As for `pipeline`.
        column, id_column, label_column, keep_text: As for `read_batch`.
        **options: Of `pipeline`: `budget=`, `max_drop=`, `device=` ... By default the device is the
            GPU that Ray has given to the actor, if any.

    Example:
        >>> rows = ray.data.read_parquet("s3://bucket/reviews").map_batches(
        ...     ReadBatch,
        ...     fn_constructor_kwargs={"task": "text-classification", "column": "text"},
        ...     batch_format="pyarrow",
        ...     compute=ray.data.ActorPoolStrategy(size=4),
        ... )
        >>> rows.write_parquet("s3://bucket/rows")
    """

    def __init__(
        self,
        task: str | None = None,
        model: Any = None,
        *,
        column: str | None = None,
        id_column: str | None = None,
        label_column: str = "label",
        keep_text: bool = False,
        **options: Any,
    ) -> None:
        self._own = OwnPipeline({"task": task, "model": model, **options})
        self._read_by: dict[str, Any] = {
            "column": column,
            "id_column": id_column,
            "label_column": label_column,
            "keep_text": keep_text,
        }

    def __call__(self, batch: Any) -> pa.Table:
        """Read a batch: a table of Arrow with a row for each of its rows, in its order."""
        return read_batch(self._own.pipe, batch, **self._read_by)
