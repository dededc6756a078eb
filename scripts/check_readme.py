"""Run the commands of README.md and docs/training.md as they stand, in order, in a fresh clone.

    python3 scripts/check_readme.py
    python3 scripts/check_readme.py --without scripts/test.sh --folder /tmp/clone

What is committed is cloned, and every block of bash and Python is run in one shell, in order, until
the first that fails. Needs git, and what the page itself says that it needs.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "docs/training.md")
"""In this order: the second goes on with what the first has made."""
_BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_END = "END_OF_BLOCK_OF_README"
_OF_A_PLACE = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHON")
"""Variables that would lead the shell back to where this runs."""


class Block(NamedTuple):
    """A block of code of a page."""

    language: str
    code: str
    line: int
    """Number of its first line in the page."""


def blocks(page: str) -> list[Block]:
    """The blocks of bash and Python in a Markdown page."""
    return [
        Block(match[1], match[2], page[: match.start(2)].count("\n") + 1)
        for match in _BLOCK.finditer(page)
    ]


def commands(code: str) -> list[str]:
    """The commands of a block of bash: lines, with those that a backslash continues."""
    joined = re.sub(r"\\\n\s*", " ", code)
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def script_of(page: str, without: str | None = None, name: str = "") -> str:
    """One script of bash that runs the page's blocks and says which one is at work.

    Args:
        page: Markdown.
        without: leave commands out that have this in them.
        name: of the page, where there are several.
    """
    at = f"{name} line" if name else "line"
    parts = ["set -euo pipefail"]
    for block in blocks(page):
        if block.language == "python":
            parts.append(f"echo '== {at} {block.line}: python' >&2")
            parts.append(f"python - <<'{_END}'\n{block.code}{_END}")
            continue
        for command in commands(block.code):
            if without is not None and without in command:
                continue
            words = command.replace("'", "'\\''")
            parts.append(f"echo '== {at} {block.line}: {words}' >&2\n{command}")
    return "\n".join(parts) + "\n"


def run(script: str, folder: Path) -> int:
    """Run a script in a folder, in a shell that knows nothing of this place: its exit code."""
    environment = {k: v for k, v in os.environ.items() if k not in _OF_A_PLACE}
    inside = os.environ.get("VIRTUAL_ENV")
    if inside:
        kept = [part for part in environment["PATH"].split(":") if not part.startswith(inside)]
        environment["PATH"] = ":".join(kept)
    file = folder / ".git" / "readme.sh"
    file.write_text(script, encoding="utf-8")
    command = ["bash", "--noprofile", "--norc", str(file)]
    return subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL).returncode


def main() -> None:
    """Clone, run, and end with the exit code of what failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--without", help="leave commands out that have this in them")
    parser.add_argument("--folder", type=Path, help="new folder for the clone")
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="readme-")) / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    pages = {name: (folder / name).read_text(encoding="utf-8") for name in PAGES}
    script = "".join(script_of(page, args.without, name) for name, page in pages.items())
    code = run(script, folder)
    if code:
        sys.exit(f"The last command that is named above failed ({code}); the clone is {folder}")
    print(f"All commands of {' and '.join(PAGES)} ran. The clone is {folder}")


if __name__ == "__main__":
    main()
