"""Read a table of texts with Ray Data, on this machine or on a cluster: parquet out.

    python scripts/ray_texts.py data/examples/reviews.csv --output out/ray_texts --num-cpus 0.5
    RAY_ADDRESS=auto python scripts/ray_texts.py s3://bucket/reviews --output s3://bucket/rows \
        --num-actors 16 --num-gpus 1 --id-column id --checkpoint s3://bucket/checkpoint

Inputs are a file or a folder of CSV, JSON lines or parquet, in any file system that pyarrow or an
installed package of fsspec opens. With --checkpoint the same command goes on where it was stopped,
by the ids of rows that were written; Ray then needs two cores beside those of the actors, one for
reading and one for filtering, and waits for ever where it has fewer.
"""

from __future__ import annotations

import argparse
from pathlib import PurePosixPath
from typing import Any

import ray
import ray.data

from temporal.pipelines.ray import ReadBatch

_READERS = {".csv": "read_csv", ".json": "read_json", ".jsonl": "read_json"}
_KNOWN_TO_ARROW = ("", "file", "local", "s3", "gs", "gcs", "hdfs", "viewfs")


def file_system(url: str) -> Any:
    """What opens a URL where pyarrow does not by itself; None: it does."""
    protocol = url.partition("://")[0] if "://" in url else ""
    if protocol in _KNOWN_TO_ARROW:
        return None
    import fsspec

    return fsspec.filesystem(protocol)


def main() -> None:
    """Read the table, write the rows, and say how many there are of each status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("inputs", help="file or folder of a table")
    parser.add_argument("--output", required=True, help="folder of the parquet files")
    parser.add_argument("--model", help="path or hub id; default: the bundled reader")
    parser.add_argument("--column", help="of the texts; default: text")
    parser.add_argument("--id-column", help="default: id, where there is one")
    parser.add_argument("--checkpoint", help="folder that knows which ids are written")
    parser.add_argument("--num-actors", type=int, default=1)
    parser.add_argument("--num-cpus", type=float, default=1.0, help="of each; leave some to Ray")
    parser.add_argument("--num-gpus", type=float, default=0.0, help="of each actor")
    parser.add_argument("--batch-size", type=int, default=1024, help="rows that are sent at once")
    args = parser.parse_args()
    if args.checkpoint is not None:
        from ray.data.checkpoint import CheckpointConfig

        ray.data.DataContext.get_current().checkpoint_config = CheckpointConfig(
            id_column=args.id_column or "id",
            checkpoint_path=args.checkpoint,
            override_filesystem=file_system(args.checkpoint),
            delete_checkpoint_on_success=False,
        )
    reader = _READERS.get(PurePosixPath(args.inputs).suffix, "read_parquet")
    table = getattr(ray.data, reader)(args.inputs, filesystem=file_system(args.inputs))
    rows = table.map_batches(
        ReadBatch,
        fn_constructor_kwargs={
            "task": "text-classification",
            "model": args.model,
            "column": args.column,
            "id_column": args.id_column,
        },
        batch_format="pyarrow",
        batch_size=args.batch_size,
        compute=ray.data.ActorPoolStrategy(size=args.num_actors),
        num_cpus=args.num_cpus,
        num_gpus=args.num_gpus,
    )
    rows.write_parquet(args.output, filesystem=file_system(args.output))


if __name__ == "__main__":
    main()
