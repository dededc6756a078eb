"""The cache of tables: when they are made anew, and when not."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from temporal.kernels.table_cache import TableCache
from temporal.models import READERS
from temporal.models.recurrent.readers import RecurrentReader

RECURRENT = [name for name, reader in READERS.items() if issubclass(reader, RecurrentReader)]


class Maker:
    """Counts how often it made something."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> int:
        self.count += 1
        return self.count


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    return nn.Sequential(nn.Embedding(500, 12), nn.Linear(12, 64), nn.Linear(64, 2)).to(dtype)


@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.parametrize("how", ["data", "inference"])
@torch.no_grad()
def test_kernels_see_changes_that_torch_does_not_count(how, name) -> None:
    reader_class: Any = READERS[name]
    config = reader_class.config_class(vocab_size=500, embedding_size=12, hidden_size=16)
    with torch.inference_mode(how == "inference"):
        reader = reader_class(config).eval()
    ids = torch.randint(3, 500, (2, 25))
    before = reader(ids).logits
    for weight in (reader.embedding.weight, reader.read_hidden.weight):
        if how == "data":
            weight.data.copy_(torch.randn_like(weight))
        else:
            with torch.inference_mode():
                weight.copy_(torch.randn_like(weight))
    after = reader(ids).logits
    reader.tables.forget()
    assert torch.equal(after, reader(ids).logits) and not torch.equal(after, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_one_entry_of_a_small_weight_and_all_of_a_large_one_are_seen(dtype) -> None:
    cache, model, make = TableCache(), network(dtype), Maker()
    assert [cache.get(model, make) for _ in range(3)] == [1, 1, 1]
    model[2].weight.data[1, 37] += 1
    assert [cache.get(model, make) for _ in range(2)] == [2, 2]
    model[0].weight.data.mul_(2)
    assert [cache.get(model, make) for _ in range(2)] == [3, 3]
    with torch.no_grad():
        model[0].weight[7, 5] += 1  # torch counts it
    assert [cache.get(model, make) for _ in range(2)] == [4, 4]
    model[0].weight.data = model[0].weight.data.clone()
    assert [cache.get(model, make) for _ in range(2)] == [5, 5]


def test_weights_that_do_not_lie_in_a_row_are_watched_as_far_as_that_goes() -> None:
    model, cache, make = nn.Linear(8, 8), TableCache(), Maker()
    model.weight.data = torch.randn(8, 8).T
    assert [cache.get(model, make) for _ in range(2)] == [1, 1]
    model.weight.data.zero_()
    assert [cache.get(model, make) for _ in range(2)] == [2, 2]


def test_copies_that_went_their_own_way_are_called_in_turn_and_make_tables_once() -> None:
    model, make = network(), Maker()
    model.tables = cache = TableCache()
    other = copy.deepcopy(model)
    assert other.tables is cache
    with torch.no_grad():
        other[1].weight.mul_(2)
    assert [cache.get(each, make) for each in (model, other) * 3] == [1, 2] * 3
    for _ in range(5):  # the tables of old weights do not pile up
        with torch.no_grad():
            model[1].weight.mul_(2)
        cache.get(model, make)
    assert len(cache._made) == 2
    for _ in range(5):
        cache.get(network(), make)
    assert len(cache._made) == 3


def test_the_last_used_stay() -> None:
    cache, make = TableCache(), Maker()
    models = [network() for _ in range(5)]
    for other in models[1:]:
        assert cache.get(models[0], make) == 1
        cache.get(other, make)
    assert make.count == 5
