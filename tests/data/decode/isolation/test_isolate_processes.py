"""Workers start with only what they need, leave Ctrl-C to the parent, and end when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

_HANGS = """
import pathlib, time

def hang(video, frames, size, out):
    pathlib.Path(__file__).with_name("hangs_now").touch()
    time.sleep(1000)
"""

_PARENT = """
import signal, sys, threading
signal.signal(signal.SIGINT, lambda *_: None)  # the parent decides: it goes on
import psutil
from temporal.data import DecodePool
import hangs
"""


@pytest.fixture
def start(tmp_path):
    """Start a script as a process group of its own; whatever is left of it is ended."""
    started = []

    def run(script: str, *arguments: object) -> subprocess.Popen[str]:
        (tmp_path / "hangs.py").write_text(_HANGS)
        path = tmp_path / "parent.py"
        path.write_text(_PARENT + textwrap.dedent(script))
        process = subprocess.Popen(
            [sys.executable, str(path), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


# Without `if __name__ == "__main__"`: run again in a worker, this would never end.
_READS = """
print("main", flush=True)
with DecodePool(2, 60.0) as pool:
    for _ in range(4):
        assert len(pool.open(sys.argv[1]).read([59, 3], size=(24, 32))) == 2
signal.signal(signal.SIGINT, signal.SIG_IGN)  # Python itself lets go of handlers when it ends
print("done", flush=True)
"""


def test_the_callers_script_runs_once(clips, start):
    out, err = start(_READS, clips.path("h264.mp4")).communicate(timeout=60)
    assert (out.split(), err) == (["main", "done"], "")


def test_workers_need_no_torch():
    code = "import sys, temporal.data.decode.isolation.worker; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups on this platform")
def test_ctrl_c_is_left_to_the_parent(clips, start):
    parent = start(_READS, clips.path("h264.mp4"))
    assert parent.stdout is not None
    assert parent.stdout.readline() == "main\n"
    while parent.poll() is None:  # from before the first worker is there
        os.killpg(parent.pid, signal.SIGINT)
        time.sleep(0.01)
    out, err = parent.communicate()
    assert (out, err, parent.returncode) == ("done\n", "", 0)


_HANG = """
pool = DecodePool(2, 600.0, read_function=hangs.hang)
video, idle = pool.open(sys.argv[1]), pool.open(sys.argv[1])
len(video), len(idle)
threading.Thread(target=video.read, args=([0],), daemon=True).start()
print(*(child.pid for child in psutil.Process().children(recursive=True)), flush=True)
threading.Event().wait()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this platform")
def test_workers_die_with_a_killed_parent(clips, start, tmp_path):
    parent = start(_HANG, clips.path("h264.mp4"))
    assert parent.stdout is not None
    children = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
    assert len(children) >= 3  # two workers and the fork server
    while not (tmp_path / "hangs_now").exists():
        assert parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    left = psutil.wait_procs(children, timeout=10)[1]
    for child in left:
        child.kill()
    assert not left
