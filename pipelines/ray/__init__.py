"""Reading on a cluster with Ray (the extra `ray`), in either of two ways: see docs/clusters.md.

`ReadBatch` is what a dataset of Ray Data maps: tables come in from whatever Ray reads, and go out
to whatever it writes, which also is how far a job has come.

    dataset.map_batches(ReadBatch, fn_constructor_args=("text-classification",), ...)

`RayPipeline` is a pipeline whose models are actors: `run` reads a collection with it and commits
the rows that `temporal run` would, in the same parts, resumable by either.

    with RayPipeline("video-classification", num_actors=8, num_gpus=1) as pipe:
        run(pipe, collect("clips", kind="video"), "results")
"""

from typing import TYPE_CHECKING

from temporal.lazy import exports

if TYPE_CHECKING:
    from .pipeline import RayPipeline as RayPipeline
    from .read_batch import ReadBatch as ReadBatch

__getattr__ = exports(__name__, {"RayPipeline": ".pipeline", "ReadBatch": ".read_batch"})
