"""The pages of the project: their commands name what is there, and are run by a script in order."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from temporal.pipelines.command.cli import app

from .conftest import SCRIPTS

PAGES = {
    name: (SCRIPTS.parent / name).read_text(encoding="utf-8")
    for name in ("README.md", "docs/training.md")
}

MADE_UP = """# A page

```bash
echo one >> said        # a comment
echo two three \\
    four >> said
```

Text.

```python
with open("said", "a") as file:
    file.write("five's\\n")
```

```
not run
```

```bash
exit_code=0; false
echo six >> said
```
"""


@pytest.fixture
def check(script: Any) -> Any:
    return script("check_readme")


def test_blocks_are_found_with_their_lines(check: Any) -> None:
    found = check.blocks(MADE_UP)
    assert [(b.language, b.line) for b in found] == [("bash", 4), ("python", 12), ("bash", 21)]
    assert check.commands(found[0].code) == [
        "echo one >> said        # a comment", "echo two three  four >> said"
    ]  # fmt: skip


def test_commands_run_in_order_until_one_fails(check: Any, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    # `python` is what the page's own environment gives; here it is this one.
    ours = f'python() {{ {sys.executable} "$@"; }}'
    page = MADE_UP.replace("```bash\necho one", f"```bash\n{ours}\necho one")
    assert check.run(check.script_of(page), tmp_path) == 1
    assert (tmp_path / "said").read_text() == "one\ntwo three four\nfive's\n"
    (tmp_path / "said").unlink()
    assert check.run(check.script_of(page, without="false"), tmp_path) == 0
    assert (tmp_path / "said").read_text().endswith("five's\nsix\n")


def test_every_option_that_the_page_names_is_one(
    check: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = set()  # folders that an earlier command of the page wrote
    seen = 0
    assert set(check.PAGES) == set(PAGES)
    for block in (block for page in check.PAGES for block in check.blocks(PAGES[page])):
        if block.language == "python":
            compile(block.code, "a page", "exec")
            continue
        for command in check.commands(block.code):
            words = shlex.split(command, comments=True)
            options = {word for word in words if word.startswith("--")}
            if words[0] == "python" and words[1].startswith("scripts/"):
                path = SCRIPTS.parent / words[1]
                monkeypatch.setattr(sys, "argv", [str(path), "--help"])
                capsys.readouterr()
                with pytest.raises(SystemExit):
                    runpy.run_path(str(path), run_name="__main__")
                known = set(re.findall(r"--\w+", capsys.readouterr().out))
            elif words[0] == "temporal":
                said = CliRunner().invoke(app, [words[1], "--help"], env={"COLUMNS": "200"})
                known = set(re.findall(r"--[\w-]+", said.output))
            else:
                assert words[0] in ("bash", "source", "python"), command
                continue
            assert options <= known, f"{command}: no such option"
            for word in words[2:]:
                if word.startswith(("data/", "scripts/")):
                    assert (SCRIPTS.parent / word).exists(), command
            made.update(words[k + 1] for k, w in enumerate(words) if w.startswith("--output"))
            for k, word in enumerate(words):
                if word in ("--model", "--encoder", "--model_name_or_path") and "/" in words[k + 1]:
                    assert any(words[k + 1].startswith(folder) for folder in made), command
            seen += 1
    assert seen >= 10


def test_the_examples_that_the_page_is_tried_on_are_always_the_same(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = script("make_examples")
    files = []
    for name in ("one", "two"):
        monkeypatch.setattr(sys, "argv", ["make_examples.py", str(tmp_path / name)])
        examples.main()
        paths = sorted((tmp_path / name).rglob("*.csv"))
        files.append([path.read_text() for path in paths])
    assert files[0] == files[1] and len(files[0]) == 4
    lines = {name: set((tmp_path / "one" / name).read_text().splitlines()[1:]) for name in
             ("sentences.csv", "sentences_test.csv")}  # fmt: skip
    assert len(lines["sentences.csv"]) == 1000 and len(lines["sentences_test.csv"]) == 200
    assert not lines["sentences.csv"] & lines["sentences_test.csv"]
    assert len(list((tmp_path / "one" / "clips").glob("*.mp4"))) == 48


def test_it_says_where_it_stopped(check: Any, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    script = check.script_of("```bash\ntrue 'a b'\nfalse\n```\n")
    (tmp_path / "s.sh").write_text(script)
    ended = subprocess.run(["bash", str(tmp_path / "s.sh")], capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr == "== line 2: true 'a b'\n== line 2: false\n"
