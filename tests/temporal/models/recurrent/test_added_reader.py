"""The recurrent reader of docs/add_a_reader.md keeps the laws of its room."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from temporal.models import ReaderRecord

from .... import added_readers as page
from . import test_recurrent_laws as recurrent_laws

RECURRENT_LAWS = {
    name: law
    for name, law in vars(recurrent_laws).items()
    if name.startswith("test_") and "name" in inspect.signature(law).parameters
}
"""Those that are about a reader by its name."""


@pytest.fixture(scope="module")
def browsing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReaderRecord]:
    with page.added(page.RECURRENT, tmp_path_factory.mktemp("recurrent")) as record:
        yield record


def cases(law: Callable[..., None]) -> Iterator[dict[str, Any]]:
    """All that a law is parametrised over beside the reader's name."""
    marks = [mark.args for mark in law.pytestmark if mark.args[0] != "name"]
    for values in itertools.product(*(mark[1] for mark in marks)):
        yield dict(zip((mark[0] for mark in marks), values, strict=True))


@pytest.mark.parametrize("name", page.FILES)
def test_a_reader_is_at_most_sixty_lines_and_one_in_the_registry(name: str) -> None:
    file, line = page.FILES[name]
    assert len(file.splitlines()) <= 60 and max(map(len, file.splitlines())) <= 100
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("law", RECURRENT_LAWS)
def test_law_of_recurrent_readers(
    law: str, browsing: ReaderRecord, request: pytest.FixtureRequest
) -> None:
    function = RECURRENT_LAWS[law]
    for case in cases(function):
        given = {"name": browsing.model_type, **case}
        fixtures = inspect.signature(function).parameters.keys() - given.keys()
        torch.manual_seed(0)
        function(**given, **{name: request.getfixturevalue(name) for name in fixtures})


def test_training_lowers_its_loss(browsing: ReaderRecord, recurrent_reader: Any) -> None:
    reader = recurrent_reader(browsing.model_type)
    inputs = torch.randint(3, 100, (4, 9))
    optimizer = torch.optim.Adam(reader.train().parameters(), lr=0.01)
    losses = []
    for _ in range(20):
        loss = reader(inputs, labels=torch.tensor([0, 1, 1, 0])).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_what_is_passed_over_is_not_computed(
    browsing: ReaderRecord, recurrent_reader: Any, random_words: Any
) -> None:
    reader = recurrent_reader(browsing.model_type)
    (document,) = random_words((40,))
    trace = reader(document).trace
    assert 0 < trace.units_read < 40 and len(trace.skimmed) == 40 - trace.units_read
    looks = 40 * 2 * (12 + 16)
    cells = trace.units_read * 4 * 16 * (12 + 16)
    assert trace.cost.macs == looks + cells + 2 * 16


def test_the_plain_network_where_all_is_read(
    browsing: ReaderRecord, recurrent_reader: Any, random_words: Any, plain_logits: Any
) -> None:
    reader = recurrent_reader(browsing.model_type, read_threshold=0.0)
    for document in random_words((1, 17)):
        outcome = reader(document)
        assert outcome.trace.units_read == len(document)
        torch.testing.assert_close(
            outcome.value, plain_logits(reader, document.ids), atol=1e-5, rtol=0
        )
