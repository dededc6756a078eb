"""The weights beside a configuration: which files hold them, what is in them, and their digest.

A checkpoint may come from anywhere. Before anything is built from its configuration, the headers of
its safetensors files, a few kilobytes, say how many tensors there are and how large: a model cannot
have more layers, classes or units than its weights have.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

DIGESTS = "weights.sha256"
"""Written beside the weights of a saved reader, as `sha256sum` writes and checks it."""

_NAME, _INDEX = "model.safetensors", "model.safetensors.index.json"
_MOST_JSON_BYTES = 100_000_000
_FEW_LAYERS, _FEW_CLASSES, _SMALL_SIZE = 256, 10_000, 1_000_000
"""This many cost little to build, and need not show in the weights: layers may share them (ALBERT),
and a configuration has fields that its model does not use."""
_MOST_POSITIONS, _MOST_PIXELS = 1 << 24, 1 << 14
"""Positions may be computed rather than stored, and an image's side may be any."""

_COUNTS_LAYERS = re.compile(
    r"(num_\w*(layers|blocks|groups)|n_layers?|(\w+_)?layers|n_blocks|depths?|\w+_depths?)"
)
_COUNTS_CLASSES = re.compile(r"num_(labels|classes)|id2label|label2id")
_COUNTS_POSITIONS = re.compile(r"(max_position_embeddings|n_positions|max_seq\w*_len\w*)")
_IS_A_SIZE = re.compile(
    r"(\w*(vocab|hidden|embedding|intermediate|filter|agent|policy|backward|skim|state)_size"
    r"|d_model|d_ff|ffn_dim|hidden_dim|embed_dim|dim|skim_buckets|num_filters|num_buckets)"
)


def weight_files(folder: Path, variant: str | None = None) -> list[Path]:
    """The safetensors files of a checkpoint, as transformers would take them; empty: none.

    Raises:
        ValueError: its index names anything but safetensors files in the folder.
    """
    config = folder / "config.json"
    named = _named_in(config, _json_of(config)) if config.is_file() else None
    if named is not None and not (folder / named).is_file():
        raise ValueError(f"{config} names {named!r}, which is not there: load it again")
    stem = "model" if variant is None else f"model.{variant}"
    whole = folder / (named or f"{stem}.safetensors")
    if whole.suffix == ".safetensors" and whole.is_file():
        return [whole]
    index = folder / (_INDEX if variant is None else f"model.safetensors.index.{variant}.json")
    index = index if named is None else folder / named
    if not index.is_file():
        return []
    files = [folder / name for name in shard_names(index)]
    for file in files:
        if not file.is_file():
            raise ValueError(f"{index} names {file.name!r}, which is not there: load it again")
    return files


def shard_names(index: Path) -> list[str]:
    """The files that an index of weights names.

    Raises:
        ValueError: one is anything but a safetensors file in the same folder.
    """
    found = _json_of(index)
    names = found.get("weight_map") if isinstance(found, Mapping) else None
    if not isinstance(names, Mapping):
        raise ValueError(f"{index} must have a weight_map, from names of weights to files")
    files = list(dict.fromkeys(map(str, names.values())))
    for name in files:
        if not name.endswith(".safetensors") or Path(name).name != name or "\\" in name:
            raise ValueError(
                f"{index} names {name!r}: weights are read from safetensors files in the folder "
                "itself, since a pickle may run code when it is opened; convert the model"
            )
    return files


def shapes_of(file: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors in a safetensors file, from its header alone.

    Raises:
        ValueError: the file is damaged, or none.
    """
    return {name: shape for name, (shape, _, _, _) in _tensors_of(file).items()}


def _tensors_of(file: Path) -> dict[str, tuple[tuple[int, ...], str, int, int]]:
    """Of each tensor in a file its shape, its type, and where its bytes begin and end."""
    size = file.stat().st_size
    with open(file, "rb") as opened:
        start = opened.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > min(size - 8, _MOST_JSON_BYTES):
            raise ValueError(f"{file} is no safetensors file, or not all of it: load it again")
        header = opened.read(length)
    try:
        entries = json.loads(header)
        entries.pop("__metadata__", None)
        tensors = {}
        for name, entry in entries.items():
            begin, end = (8 + length + int(offset) for offset in entry["data_offsets"])
            tensors[name] = tuple(map(int, entry["shape"])), str(entry["dtype"]), begin, end
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} has a damaged header ({error}): load it again") from error
    end = max((end for _, _, _, end in tensors.values()), default=8 + length)
    if end > size:
        raise ValueError(f"{file} ends after {size} bytes and needs {end}: load it again")
    return tensors


def check_checkpoint(folder: Path, variant: str | None = None) -> None:
    """Raise ValueError unless a folder's configuration can belong to the weights beside it.

    Reads the configuration as text and the weights' headers: nothing is built.
    """
    path = folder / "config.json"
    config = _json_of(path) if path.is_file() else {}
    shapes: dict[str, tuple[int, ...]] = {}
    for file in weight_files(folder, variant):
        shapes |= shapes_of(file)
    layers, classes, sizes = _FEW_LAYERS, _FEW_CLASSES, _SMALL_SIZE
    for shape in shapes.values():
        classes = max(classes, *shape, 0)
    layers = max(layers, len(shapes))
    sizes = max(sizes, sum(math.prod(shape) for shape in shapes.values()))
    why = f"the {len(shapes)} weights beside it are of a smaller model"
    for name, value in _numbers_of(config):
        field = name.rpartition(".")[2]
        if _COUNTS_LAYERS.fullmatch(field):
            limit = layers
        elif _COUNTS_CLASSES.fullmatch(field):
            limit = classes
        elif _IS_A_SIZE.fullmatch(field):
            limit = sizes
        elif _COUNTS_POSITIONS.fullmatch(field):
            limit = max(sizes, _MOST_POSITIONS)
        elif field == "image_size":
            limit = _MOST_PIXELS
        else:
            continue
        if not value <= limit:  # NaN is not one, either
            raise ValueError(f"{path}: {name} ({value}) must be <= {limit}: {why}")
        if value < -1:  # which says in some that there is none
            raise ValueError(f"{path}: {name} ({value}) must be >= 0")


def _named_in(path: Path, config: Any) -> str | None:
    """The file of weights that a configuration names; None: it names none."""
    if not isinstance(config, Mapping):
        raise ValueError(f"{path} must hold a configuration: names and values")
    named = config.get("transformers_weights")
    if named is None:
        return None
    is_here = isinstance(named, str) and Path(named).name == named and "\\" not in named
    if not is_here or not named.endswith((".safetensors", ".safetensors.index.json")):
        raise ValueError(
            f"{path}: transformers_weights ({named!r}) must be a safetensors file in the folder "
            "itself"
        )
    return named


def check_digests(folder: Path, variant: str | None = None) -> dict[Path, str]:
    """Compare a saved reader's weights with the digests that were saved beside them, if any.

    Returns:
        The SHA-256 of each file, resolved, that was read for it.

    Raises:
        ValueError: a file is not the one that was saved.
    """
    path = folder / DIGESTS
    if not path.is_file():
        return {}
    checked: dict[Path, str] = {}
    lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
    expected = {name.lstrip("*"): digest for digest, name in (line for line in lines if line[1:])}
    for file in weight_files(folder, variant):
        found = _digest(file) if file.name in expected else "not listed"
        if found != expected.get(file.name):
            raise ValueError(
                f"{file} is not the file that was saved: its SHA-256 is {found[:12]}, and {path} "
                f"has {expected.get(file.name, 'none')[:12]}. It is damaged, or was changed: load "
                f"or save the reader again; if it is meant to be so, remove {DIGESTS}"
            )
        checked[file.resolve()] = found
    return checked


def write_digests(folder: Path, variant: str | None = None) -> None:
    """Write the digests of a saved reader's weights beside them."""
    lines = [f"{_digest(file)}  {file.name}\n" for file in weight_files(folder, variant)]
    (folder / DIGESTS).write_text("".join(lines))


def digest_of_weights(folder: Path, variant: str | None = None) -> str | None:
    """What the weights in a folder are, in however many files they lie; None: none lie there.

    32 hex digits of the SHA-256 of their names, types, shapes and bytes.
    """
    places = {
        name: (file, *place)
        for file in weight_files(folder, variant)
        for name, place in _tensors_of(file).items()
    }
    if not places:
        return None
    digest = hashlib.sha256()
    for name, (file, shape, dtype, begin, end) in sorted(places.items()):
        digest.update(json.dumps([name, dtype, shape]).encode())
        with open(file, "rb") as opened:
            opened.seek(begin)
            while block := opened.read(min(2**20, end - opened.tell())):
                digest.update(block)
    return digest.hexdigest()[:32]


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with open(file, "rb") as opened:
        while block := opened.read(2**20):  # hashlib.file_digest came with Python 3.11
            digest.update(block)
    return digest.hexdigest()


def _json_of(path: Path) -> Any:
    if path.stat().st_size > _MOST_JSON_BYTES:
        raise ValueError(f"{path} must have at most {_MOST_JSON_BYTES} bytes")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}): load it again") from error


def _numbers_of(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a configuration with its name, `encoder.vocab_size`.

    Of lists, the sum or length; of labels, how many there are.
    """
    for name, value in config.items():
        if isinstance(value, Mapping):
            if name.endswith(("2label", "2id")):
                yield prefix + name, len(value)
            else:
                yield from _numbers_of(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            numbers = [one for one in value if isinstance(one, int | float)]
            # `exit_layers` are the layers' numbers; `depths` are blocks of each stage.
            is_of_depths = "depth" in name and "threshold" not in name
            yield prefix + name, sum(numbers) if is_of_depths else len(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix + name, value
