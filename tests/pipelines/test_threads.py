"""The model takes the cores that are free, and leaves torch's threads as they were outside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from temporal.pipelines import pipeline, threads
from temporal.pipelines.threads import model_threads, num_running, with_threads


@pytest.fixture
def four_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """torch's default is four threads, on a machine of four cores."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "_DEFAULT", 4)
    monkeypatch.setattr(threads, "_known", None)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def busy(monkeypatch: pytest.MonkeyPatch, *looks: int | None) -> None:
    told = [*looks]
    monkeypatch.setattr(threads, "num_running", lambda: told.pop(0) if told[1:] else told[0])


@pytest.mark.parametrize(("running", "left"), [(1, 4), (2, 3), (4, 1), (40, 1), (None, 4)])
def test_as_many_threads_as_cores_are_free(
    running: int | None, left: int, four_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy(monkeypatch, running)
    assert model_threads() == left


def test_what_runs_for_a_moment_takes_nothing(
    four_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy(monkeypatch, 4, 4, 1, 4, 4)
    assert model_threads() == 4


def test_a_look_is_remembered(four_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    busy(monkeypatch, 3)
    assert model_threads() == 2
    busy(monkeypatch, 1)
    assert model_threads() == 2
    monkeypatch.setattr(threads, "_KNOWN_SECONDS", 0.0)
    monkeypatch.setattr(threads, "_known", None)
    assert [model_threads(), model_threads()] == [4, 4]
    busy(monkeypatch, 3)
    assert model_threads() == 2


def test_what_the_user_chose_stays(four_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    busy(monkeypatch, 4)
    torch.set_num_threads(3)
    assert model_threads() == 3
    torch.set_num_threads(4)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert model_threads() == 4


def test_the_load_is_read_where_the_system_tells_it(tmp_path, monkeypatch) -> None:
    file = tmp_path / "loadavg"
    monkeypatch.setattr(threads, "_LOAD", str(file))
    assert num_running() is None
    file.write_text("0.20 0.18 0.12 3/80 11206\n")
    assert num_running() == 3
    file.write_text("nothing\n")
    assert num_running() is None


def test_threads_are_as_they_were_between_results_and_after_errors(
    four_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []
    busy(monkeypatch, 4)

    def results() -> Iterator[int]:
        try:
            yield torch.get_num_threads()
            yield torch.get_num_threads()
            raise KeyError
        finally:
            closed.append(True)

    readings = with_threads(results())
    assert next(readings) == 1 and torch.get_num_threads() == 4
    assert next(readings) == 1 and torch.get_num_threads() == 4
    with pytest.raises(KeyError):
        next(readings)
    assert torch.get_num_threads() == 4 and closed == [True]
    other = with_threads(results())
    next(other)
    other.close()
    assert torch.get_num_threads() == 4 and closed == [True, True]


@pytest.mark.parametrize(
    ("task", "given"),
    [
        ("video-classification", "data/examples/clips/big_buck_bunny.mp4"),
        ("text-classification", "A film to remember."),
    ],
)
def test_pipelines_read_so(
    task: str, given: str, four_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy(monkeypatch, 3)
    pipe = pipeline(task)
    seen = set()
    for module in pipe.model.modules():
        module.register_forward_pre_hook(lambda *_: seen.add(torch.get_num_threads()))
    next(iter(pipe.read([given])))
    assert seen == {2} and torch.get_num_threads() == 4
