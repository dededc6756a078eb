"""Machine code that is kept on disk."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from temporal.kernels import compiled


def test_kept_code_is_used_until_any_file_of_the_kernels_changes(
    tmp_path: Path, monkeypatch
) -> None:
    file = tmp_path / "twice.py"
    file.write_text("def twice(x):\n    return 2 * x\n")

    def hits_and_misses() -> tuple[int, int]:
        spec = importlib.util.spec_from_file_location("twice", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        function = compiled.kernel(module.twice)
        assert function(3) == 6
        return sum(function.stats.cache_hits.values()), sum(function.stats.cache_misses.values())

    assert hits_and_misses() == (0, 1)
    assert hits_and_misses() == (1, 0)
    monkeypatch.setattr(compiled, "_SOURCES", "of another version")
    assert hits_and_misses() == (0, 1)
