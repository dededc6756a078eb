"""The arrows between packages run downward, and files stay small enough to read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from temporal.models.registry import RECORDS

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"temporal": "temporal", "data": "temporal.data", "pipelines": "temporal.pipelines"}

# Inside `temporal` a module imports from its own floor and from lower ones.
FLOORS = {
    "trace": 1,
    "source": 1,
    "macs": 1,
    "packed": 1,
    "rows": 1,
    "stopping": 1,
    "checks": 1,
    "watched": 1,
    "lazy": 1,
    "moved": 1,
    "policies": 1,
    "kernels": 1,
    "handle": 2,
    "slabs": 2,
    "slots": 2,
    "memory": 2,
    "stage": 2,
    "stage_call": 2,
    "stage_queue": 2,
    "scheduler": 2,
    "engine": 2,
    "backbones": 3,
    "models": 4,
    "training": 5,
    "auditing": 5,
}
# `data` knows what a source is and what a cost is, and nothing else of `temporal`.
OPEN_TO_DATA = {"temporal.trace", "temporal.source"}
# The door of the command line: nobody imports it, and behind it lie the pipelines.
DOOR = "temporal.__main__"
OUTSIDE = {"scripts", "tests"}
MAX_LINES = 350
# What trains one reader, by name, knows it.
OF_ONE_READER = {"pipelines/training/chunks.py", "pipelines/training/video/frames.py"}


def python_files(root: Path) -> list[Path]:
    """Every module of the three packages."""
    return sorted(path for folder in FOLDERS for path in (root / folder).rglob("*.py"))


def module_name(path: Path, root: Path) -> str:
    """Under which name a file imports: `data/video.py` is `temporal.data.video`."""
    folder, *rest = path.relative_to(root).with_suffix("").parts
    if rest and rest[-1] == "__init__":
        rest.pop()
    return ".".join([FOLDERS[folder], *rest])


def imported_modules(path: Path, root: Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, absolute name) of all that a file imports, in functions and by string too.

    `from a import b` yields both `a` and `a.b`: b may be a module.
    """
    name = module_name(path, root)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            yield node.lineno, base
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            called = node.func.id if isinstance(node.func, ast.Name) else called
            target = node.args[0]
            if called in {"import_module", "__import__"} and isinstance(target, ast.Constant):
                yield node.lineno, str(target.value)


def is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def floor_of(name: str) -> int | None:
    """The floor of a module of `temporal`; None for the package itself and what it defines."""
    parts = name.split(".")
    return FLOORS.get(parts[1]) if len(parts) > 1 else None


def broken_rule(importer: str, imported: str) -> str | None:
    """Say which rule an import breaks, or None."""
    top = imported.partition(".")[0]
    if top in {"data", "pipelines"}:
        return f"makes a second copy of every class: import temporal.{top}"
    if top in OUTSIDE:
        return "packages do not import scripts or tests"
    if is_in(imported, DOOR):
        return "nothing lies behind the command line's door but the command line"
    if not is_in(imported, "temporal") or is_in(importer, "temporal.pipelines"):
        return None
    if importer == DOOR and is_in(imported, "temporal.pipelines"):
        return None
    if is_in(importer, "temporal.data"):
        inside = is_in(imported, "temporal.data") or imported == "temporal"
        if inside or any(is_in(imported, allowed) for allowed in OPEN_TO_DATA):
            return None
        return f"data may import only {', '.join(sorted(OPEN_TO_DATA))} of temporal"
    if is_in(imported, "temporal.data") or is_in(imported, "temporal.pipelines"):
        return "temporal knows nothing of files, decoders or tasks"
    mine, theirs = floor_of(importer), floor_of(imported)
    if mine is not None and theirs is not None and theirs > mine:
        return f"floor {mine} imports floor {theirs}"
    return None


def violations(root: Path) -> list[str]:
    """Every broken rule in a tree, as `file:line: importer -> imported: rule`."""
    found = []
    for path in python_files(root):
        importer = module_name(path, root)
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        for line, imported in imported_modules(path, root, tree):
            if rule := broken_rule(importer, imported):
                found.append(f"{path.relative_to(root)}:{line}: {importer} -> {imported}: {rule}")
    return found


def test_arrows_run_downward() -> None:
    assert not violations(ROOT), "\n".join(violations(ROOT))


def import_graph(root: Path) -> dict[str, set[str]]:
    """Which modules of the packages each one imports: in functions and for type checking, too."""
    paths = {module_name(path, root): path for path in python_files(root)}
    graph: dict[str, set[str]] = {}
    for name, path in paths.items():
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        found = {imported for _, imported in imported_modules(path, root, tree)} & set(paths)
        # `from . import b` is about the module b; the room around it is there already.
        parents = {
            one for one in found if is_in(name, one) and any(is_in(b, one) for b in found - {one})
        }
        graph[name] = found - parents - {name}
    return graph


def import_circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Modules that import each other, directly or by way of others (Tarjan's components)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_: list[str] = []
    circles: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        open_.append(name)
        for other in sorted(graph[name]):
            if other not in order:
                visit(other)
            if other in open_:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == order[name]:
            place = open_.index(name)
            if len(open_) > place + 1:
                circles.append(sorted(open_[place:]))
            del open_[place:]

    for name in sorted(graph):
        if name not in order:
            visit(name)
    return circles


def test_no_modules_import_each_other_in_a_circle() -> None:
    circles = import_circles(import_graph(ROOT))
    assert not circles, f"let one of each import less: {circles}"


@pytest.mark.parametrize(
    ("second", "circles"),
    [
        ("from .one import a", [["temporal.one", "temporal.two"]]),
        ("def f():\n    from .one import a", [["temporal.one", "temporal.two"]]),
        ("if TYPE_CHECKING:\n    from . import one", [["temporal.one", "temporal.two"]]),
        ("from .three import c", [["temporal.one", "temporal.three", "temporal.two"]]),
        ("import temporal.four", []),
    ],
)
def test_the_check_sees_a_circle(tmp_path: Path, second: str, circles: list[list[str]]) -> None:
    room = tmp_path / "temporal"
    room.mkdir()
    (room / "__init__.py").write_text("from .one import a as a")
    (room / "one.py").write_text("from . import two\na = 1")
    (room / "two.py").write_text(second)
    (room / "three.py").write_text("from .one import a\nc = 1")
    (room / "four.py").write_text("")
    assert import_circles(import_graph(tmp_path)) == circles


def test_every_module_of_temporal_has_a_floor() -> None:
    entries = {
        path.stem
        for path in (ROOT / "temporal").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    homeless = entries - set(FLOORS) - {"__init__", "__main__"}
    assert not homeless, f"give these a floor in FLOORS: {sorted(homeless)}"


def test_files_stay_readable() -> None:
    lines = {
        path: len(path.read_text(encoding="utf-8").splitlines()) for path in python_files(ROOT)
    }
    too_long = {str(p.relative_to(ROOT)): n for p, n in lines.items() if n > MAX_LINES}
    assert not too_long, f"split these at {MAX_LINES} lines: {too_long}"
    drawers = [str(p.relative_to(ROOT)) for p in lines if p.stem in {"utils", "helpers", "misc"}]
    assert not drawers, f"name these after what they do: {drawers}"


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("temporal/engine.py", "from temporal.data import Video"),
        ("temporal/engine.py", "from .data import Video"),
        ("temporal/models/a.py", "from ..data.video import Video"),
        ("temporal/models/a.py", "from .. import pipelines"),
        ("temporal/models/a.py", "import importlib; importlib.import_module('temporal.data')"),
        ("temporal/policies/halt.py", "from ..engine import Engine"),
        ("temporal/stage.py", "from .models import FrameExit"),
        ("temporal/models/a.py", "def f():\n    from temporal import training"),
        ("data/video.py", "from ..engine import Engine"),
        ("data/decode/pyav.py", "from ...pipelines import reading"),
        ("data/video.py", "import temporal.models"),
        ("pipelines/command/cli.py", "import data"),
        ("pipelines/command/cli.py", "from data.video import Video"),
        ("pipelines/command/cli.py", "import scripts.calibrate"),
        ("temporal/engine.py", "from .__main__ import main"),
        ("pipelines/command/cli.py", "from temporal import __main__"),
        ("temporal/__main__.py", "from .data import Video"),
    ],
)
def test_the_check_sees_an_upward_arrow(tmp_path: Path, file: str, line: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(line)
    assert len({found.split(":")[1] for found in violations(tmp_path)}) == 1


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("temporal/engine.py", "from .trace import Cost"),
        ("temporal/models/a.py", "from ..engine import Engine"),
        ("temporal/training/losses.py", "from ..models import FrameExit"),
        ("data/video.py", "from ..trace import Cost"),
        ("data/decode/pyav.py", "from ..video import Video"),
        ("pipelines/command/cli.py", "from temporal.data import Video"),
        ("pipelines/command/cli.py", "from ..models import FrameExit"),
    ],
)
def test_the_check_lets_downward_arrows_pass(tmp_path: Path, file: str, line: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(line)
    assert violations(tmp_path) == []


def asks_which_reader(tree: ast.Module) -> Iterator[int]:
    """Lines that ask whether a reader is a certain one, by its class or by its `model_type`."""
    classes = {record.reader for record in RECORDS.values()}
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = ast.walk(node)
            if any(isinstance(side, ast.Constant) and side.value in RECORDS for side in sides):
                yield node.lineno
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
            "isinstance",
            "issubclass",
        ):
            names = {getattr(part, "id", getattr(part, "attr", "")) for part in ast.walk(node)}
            if names & classes:
                yield node.lineno


def test_what_uses_readers_asks_none_which_one_it_is() -> None:
    """A reader says what is different about it (`Reader`), so that the next one needs no branch."""
    files = [*(ROOT / "pipelines").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]
    found = [
        f"{name}:{line}"
        for file in files
        if (name := str(file.relative_to(ROOT))) not in OF_ONE_READER
        for line in asks_which_reader(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert not found


@pytest.mark.parametrize(
    ("line", "asks"),
    [
        ("isinstance(reader, ClipReader)", True),
        ("isinstance(reader, models.EarlyExit | str)", True),
        ("config.model_type == 'skim_rnn'", True),
        ("config.model_type in ('frame_exit', 'mine')", True),
        ("isinstance(reader, Reader)", False),
        ("config.model_type in READERS", False),
    ],
)
def test_the_check_sees_who_asks(line: str, asks: bool) -> None:
    assert bool(list(asks_which_reader(ast.parse(line)))) == asks


def test_no_room_holds_more_than_twenty_modules() -> None:
    rooms = [
        path.parent
        for package in ("temporal", "data", "pipelines", "scripts")
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    ]
    assert {str(room): rooms.count(room) for room in rooms if rooms.count(room) > 20} == {}
