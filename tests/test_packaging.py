"""The wheel works beside a user's own `data` and `pipelines`, and carries what it promises."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

import temporal

if sys.version_info >= (3, 11):
    import tomllib
else:  # Python 3.10: mypy, in the test extra, brings tomli
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
BUNDLED = ["pipelines/defaults", "data/examples"]

USER_SCRIPT = """
import json
import data, pipelines
import temporal, temporal.data, temporal.pipelines
from temporal.pipelines import pipeline
print(json.dumps({
    "answer": pipeline("text-classification")("a fine film"),
    "data": data.MINE,
    "pipelines": pipelines.MINE,
    "files": [temporal.__file__, temporal.data.__file__, temporal.pipelines.__file__],
}))
"""


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command that must succeed; return what it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stderr}"
    return done.stdout


def bundled_files(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what it is made of: nothing stale, nothing else needed."""
    work = tmp_path_factory.mktemp("wheel")
    tree = work / "tree"
    for folder in ("temporal", "data", "pipelines"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, tree / file)
    run(
        *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", work, "."),
        cwd=tree,
    )
    (built,) = work.glob("*.whl")
    return built


def test_the_wheel_works_beside_a_users_own_data_and_pipelines(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    run(
        *(sys.executable, "-m", "pip", "install", "--no-deps", "--target", site, wheel),
        cwd=tmp_path,
    )
    user = tmp_path / "user"
    for name in ("data", "pipelines"):
        (user / name).mkdir(parents=True)
        (user / name / "__init__.py").write_text(f"MINE = 'my {name}'\n")
    (user / "main.py").write_text(USER_SCRIPT)

    printed = run(sys.executable, "main.py", cwd=user, PYTHONPATH=str(site))

    found = json.loads(printed.splitlines()[-1])
    assert (found["data"], found["pipelines"]) == ("my data", "my pipelines")
    assert all(Path(file).is_relative_to(site) for file in found["files"])
    (best,) = found["answer"]
    assert set(best) == {"label", "score"}
    assert 0.0 <= best["score"] <= 1.0


def test_the_wheel_carries_the_packages_and_nothing_beside_them(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"temporal", f"temporal_nn-{temporal.__version__}.dist-info"}
    assert "temporal/py.typed" in names
    for folder, inside in (("temporal", ""), ("data", "temporal/"), ("pipelines", "temporal/")):
        for path in (ROOT / folder).rglob("*.py"):
            assert inside + path.relative_to(ROOT).as_posix() in names


@pytest.mark.parametrize("folder", BUNDLED)
def test_the_wheel_carries_the_bundled_files(wheel: Path, folder: str) -> None:
    archive = zipfile.ZipFile(wheel)
    files = bundled_files(folder)
    assert files, f"{folder} is empty"
    for path in files:
        inside = f"temporal/{path.relative_to(ROOT).as_posix()}"
        assert archive.read(inside) == path.read_bytes()


def test_bundled_files_stay_small() -> None:
    def megabytes(folder: str) -> float:
        return sum(path.stat().st_size for path in bundled_files(folder)) / 1e6

    assert megabytes("data/examples") <= 3.0
    assert megabytes("pipelines/defaults") <= 12.0


def test_the_package_list_equals_the_tree() -> None:
    settings = PROJECT["tool"]["setuptools"]
    folders = settings["package-dir"]
    found = set()
    for package in ("temporal", "temporal.data", "temporal.pipelines"):
        root = ROOT / folders[package]
        for init in root.rglob("__init__.py"):
            found.add(".".join([package, *init.parent.relative_to(root).parts]))
    assert found == set(settings["packages"])


def test_the_version_is_read_without_importing_torch() -> None:
    code = "import sys, temporal; print(temporal.__version__, 'torch' in sys.modules)"
    version, has_torch = run(sys.executable, "-c", code, cwd=ROOT).split()
    assert (version, has_torch) == (temporal.__version__, "False")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {version}" in changelog


def test_every_import_is_a_declared_dependency() -> None:
    project = PROJECT["project"]
    declared = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    names = {normalized(re.split(r"[\s<>=!~\[;]", requirement)[0]) for requirement in declared}
    distributions = packages_distributions()
    undeclared = {}
    for folder in ("temporal", "data", "pipelines"):
        for path in (ROOT / folder).rglob("*.py"):
            for module in top_level_imports(path):
                if module in sys.stdlib_module_names or module == "temporal":
                    continue
                offers = {normalized(name) for name in distributions.get(module, [module])}
                if not offers & names:
                    undeclared[module] = str(path.relative_to(ROOT))
    assert not undeclared, f"declare these in pyproject.toml: {undeclared}"


def top_level_imports(path: Path) -> set[str]:
    """The first name of every absolute import of a file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


def normalized(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
