"""What a kernel is handed: sequences in their turns, and threads where there is enough to do."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from temporal.models import SkimRNN, SkimRNNConfig
from temporal.models.recurrent import kernel_runs
from temporal.models.recurrent.kernel_runs import run_kernel


@pytest.fixture
def reader() -> SkimRNN:
    return SkimRNN(
        SkimRNNConfig(vocab_size=50, embedding_size=4, hidden_size=6, skim_size=2)
    ).eval()


def note_call(calls: list[Any]) -> Any:
    def kernel(turns: Any, ids: Any, starts: Any, ends: Any, *rest: Any) -> None:
        calls.append(
            (turns.tolist(), [ids[a:b].tolist() for a, b in zip(starts, ends, strict=True)])
        )

    return kernel


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_the_longest_sequence_comes_first(reader, dtype) -> None:
    calls: list[Any] = []
    ids_BT = torch.tensor([[1, 2, 0], [3, 0, 0], [4, 5, 6]], dtype=dtype)
    run_kernel(reader, note_call(calls), ids_BT, torch.tensor([2, 1, 3]))
    assert calls == [([0, 2, 0, 1], [[1, 2], [3], [4, 5, 6]])]


@pytest.mark.parametrize(
    ("lengths", "threads"),
    [([5000], 1), ([1, 198], 1), ([1, 398], 1), ([1, 399], 2), ([300] * 3, 3), ([300] * 99, 4)],
)
def test_threads_have_200_tokens_and_a_sequence_each_at_least(
    reader, lengths, threads, monkeypatch
) -> None:
    wanted = []
    monkeypatch.setattr(kernel_runs, "run_in_threads", lambda run, count: wanted.append(count))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    ids_BT = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    run_kernel(reader, None, ids_BT, torch.tensor(lengths))
    assert wanted == [threads]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads in /proc")
def test_around_a_kernel_no_thread_of_torch_wakes() -> None:
    """Torch shares out even a sum over so many tokens. The one thread more is the kernel's.

    Each reader runs in a fork of one process, in which no thread has been started yet.
    """
    readers = ["SkimRNN", "LSTMJump", "Jumper"]
    code = """if True:
        import os, sys, torch, temporal.models, temporal.data, temporal.engine, numba
        for name in sys.argv[1:]:
            Reader = getattr(temporal.models, name)
        count_threads = lambda: len(os.listdir("/proc/self/task"))
        def look(name):
            Reader = getattr(temporal.models, name)
            sizes = {"vocab_size": 50, "embedding_size": 4, "hidden_size": 16}
            reader = Reader(Reader.config_class(**sizes)).eval()
            torch.set_num_threads(1)
            ids = torch.randint(50, [40, 1000])
            masks = [torch.ones_like(ids).tril(k) for k in (900, 1000)]
            masks = [*masks, *(mask.bool() for mask in masks), *(mask.float() for mask in masks)]
            batches = [(ids.int(), None), (ids, None), *((ids, mask) for mask in masks)]
            documents = [temporal.data.Document("", ids=row) for row in ids]
            torch.set_num_threads(2)
            before = count_threads()
            with torch.inference_mode():
                for batch in batches:
                    reader(*batch)
                    yield count_threads() - before
            for outcome in temporal.engine.Engine(40).run(reader.read, [documents]):
                assert outcome.error is None
            yield count_threads() - before
            torch.relu(torch.zeros(1000, 1000))
            yield count_threads() - before
        for name in sys.argv[1:]:
            if not os.fork():
                print(name, *look(name), flush=True)
                os._exit(0)
            os.wait()
    """
    done = subprocess.run([sys.executable, "-c", code, *readers], capture_output=True, text=True)
    counts = "1 " * 9 + "2"
    assert done.stdout.splitlines() == [f"{name} {counts}" for name in readers], done.stderr
