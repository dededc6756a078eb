"""What is imported when it is asked for, and not before."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from temporal.lazy import exports, when_imported

HEAVY = {"torch", "transformers", "numba", "numpy", "av", "datasets", "matplotlib", "pyarrow"}


def modules_after(code: str) -> set[str]:
    """Names of all that a new process has imported after running some code."""
    tell = "import atexit, json, sys\natexit.register(lambda: print(json.dumps([*sys.modules])))\n"
    done = subprocess.run([sys.executable, "-c", tell + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def readers_in(modules: set[str]) -> set[str]:
    """Modules of readers, by their last name."""
    from temporal.models import RECORDS

    return {record.model_type for record in RECORDS.values() if record.path in modules}


@pytest.mark.parametrize(
    "code",
    [
        "import temporal.models",
        "import temporal.pipelines",
        "from temporal.pipelines import pipeline",
        "from temporal.models import READERS; assert 'skim_rnn' in READERS and len(READERS) > 12",
        "import sys; sys.argv = ['temporal', '--help']; from temporal.__main__ import main; main()",
        "import sys; sys.argv = ['temporal', 'run', '--help']\n"
        "from temporal.__main__ import main; main()",
    ],
    ids=["models", "pipelines", "pipeline", "readers", "help", "help of run"],
)
def test_what_computes_nothing_imports_nothing_that_computes(code: str) -> None:
    modules = modules_after(code)
    assert not modules & HEAVY
    assert readers_in(modules) == set()
    assert not [name for name in modules if name.startswith("temporal.kernels")]


def test_looking_at_a_video_needs_no_tensor() -> None:
    file = Path(__file__).parents[2] / "data" / "examples" / "clips" / "cockatoo.mp4"
    look = f"import sys; sys.argv = ['temporal', 'inspect', {str(file)!r}]"
    open_it = f"from temporal.data import Video; video = Video({str(file)!r}); video.cost([1])"
    for code in (f"{look}\nfrom temporal.__main__ import main; main()", open_it):
        assert not modules_after(code) & (HEAVY - {"numpy", "av", "pyarrow"})


def test_a_reader_is_imported_alone() -> None:
    modules = modules_after("from temporal.models import FrameExitConfig")
    assert readers_in(modules) == {"frame_exit"}
    assert "numba" not in modules


def test_a_pipeline_of_texts_imports_its_reader_alone() -> None:
    modules = modules_after("from temporal.pipelines import pipeline as p; p('sentiment-analysis')")
    assert readers_in(modules) == {"skim_rnn"}
    assert "temporal.pipelines.tasks.video_classification" not in modules


@pytest.mark.parametrize(
    "first",
    [
        "from temporal.pipelines import Pipeline",
        "import temporal.pipelines.pipeline",
        "from temporal.pipelines.pipeline import ReadingFailed",
        "import temporal.pipelines.command.run",
    ],
)
def test_the_function_is_not_taken_for_the_module_that_has_its_name(first: str) -> None:
    modules_after(f"{first}\nfrom temporal.pipelines import pipeline\nassert callable(pipeline)")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where modules are found."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_exports_are_taken_once_and_modules_inside_are_names(packages: Path) -> None:
    room = packages / "lazy_room"
    room.mkdir()
    (room / "__init__.py").write_text(
        "from temporal.lazy import exports\n"
        "where = {'Thing': '.things', 'dumps': 'json', 'gone': '.things'}\n"
        "__getattr__ = exports(__name__, where)\n"
    )
    (room / "things.py").write_text("class Thing: ...\n")
    (room / "broken.py").write_text("import there_is_no_such_module\n")
    module = importlib.import_module("lazy_room")
    assert "lazy_room.things" not in sys.modules
    assert module.Thing.__module__ == "lazy_room.things"
    assert vars(module)["Thing"] is module.Thing
    assert module.dumps is json.dumps
    assert module.things is sys.modules["lazy_room.things"]
    for name in ("gone", "nothing", "_private"):
        with pytest.raises(AttributeError, match=name):
            getattr(module, name)
    with pytest.raises(ModuleNotFoundError, match="there_is_no_such_module"):
        _ = module.broken


def test_exports_of_a_module_that_is_no_package(packages: Path) -> None:
    (packages / "lazy_alone.py").write_text("")
    get = exports(importlib.import_module("lazy_alone").__name__, {"dumps": "json"})
    assert get("dumps") is json.dumps
    with pytest.raises(AttributeError, match="has no attribute 'other'"):
        get("other")


def test_who_waits_for_a_module_is_called_once_it_is_there(packages: Path) -> None:
    (packages / "lazy_waited.py").write_text("value = 1\n")
    told: list[int] = []
    when_imported("lazy_waited", lambda module: told.append(module.value))
    when_imported("lazy_waited", lambda module: told.append(-module.value))
    assert told == []
    module = importlib.import_module("lazy_waited")
    assert told == [1, -1]
    when_imported("lazy_waited", lambda module: told.append(2 * module.value))
    assert told == [1, -1, 2]
    importlib.reload(module)
    assert told == [1, -1, 2]


def test_a_module_that_cannot_be_imported_tells_nobody_until_it_can(packages: Path) -> None:
    told: list[object] = []
    when_imported("lazy_torn", told.append)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("lazy_torn")
    path = packages / "lazy_torn.py"
    path.write_text("1 / 0\n")
    importlib.invalidate_caches()
    with pytest.raises(ZeroDivisionError):
        importlib.import_module("lazy_torn")
    assert told == []
    path.write_text("value = 'whole again'\n")
    assert importlib.import_module("lazy_torn").value == "whole again"
    assert told == [sys.modules["lazy_torn"]]
