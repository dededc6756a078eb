"""Signals, in any number and at any moment: stopped cleanly, with 75, and never hanging."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import temporal
from temporal.pipelines.jobs.store.ledger import read_rows

HERE = Path(__file__).parents[1]
ROOT = Path(temporal.__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def run_code(code: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        **options,  # type: ignore[call-overload]
    )


SIGNALLED = """
    import os, signal, sys, time
    from temporal.pipelines.jobs.stop import stop_on_signal

    def raise_again(frame, event, argument):
        # A second signal at every line of the handler of the first.
        if "stop.py" in frame.f_code.co_filename and signal.getsignal(signal.SIGINT) is not None:
            sys.settrace(None)
            os.kill(os.getpid(), signal.SIGTERM)
        return None

    with stop_on_signal() as stop, stop_on_signal() as inner:
        assert stop is inner and not stop.is_set()
        sys.settrace(raise_again)
        os.kill(os.getpid(), signal.SIGINT)
        sys.settrace(None)
        assert stop.is_set() and inner.is_set()
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            os.kill(os.getpid(), number)
        print("alive", flush=True)
        time.sleep(0.4)
        os.kill(os.getpid(), signal.SIGTERM)
        print("insisted on too late")
"""


def test_signals_at_one_time_are_one_request_and_a_later_one_insists() -> None:
    result = run_code(SIGNALLED)
    assert (result.returncode, result.stdout) == (75, "alive\n"), result.stderr


def test_nohup_is_left_in_peace() -> None:
    result = run_code(
        """
        import os, signal
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        from temporal.pipelines.jobs.stop import stop_on_signal
        with stop_on_signal() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            print(stop.is_set())
        """
    )
    assert result.stdout == "False\n", result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_command_line_is_imported_ends_with_75(number: int) -> None:
    """`import typer` stands for all that is imported behind the door."""
    result = run_code(
        f"""
        import os, signal, sys, types

        if signal.getsignal({int(number)}) is signal.SIG_IGN:  # of what started the tests
            signal.signal({int(number)}, signal.SIG_DFL)

        class Finder:
            def find_spec(self, name, *rest):
                if name == "typer":
                    os.kill(os.getpid(), {int(number)})
                return None

        sys.meta_path.insert(0, Finder())
        from temporal.__main__ import main
        assert "torch" not in sys.modules and "typer" not in sys.modules
        main()
        """
    )
    assert (result.returncode, result.stderr) == (75, "stopped\n")


def start(
    output: Path, texts: Path, *, delay_seconds: float = 0.0, **options: object
) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(HERE / "fake_cli.py"), "run", "text-classification", str(texts)]
    return subprocess.Popen(
        [*command, "--output", str(output)],
        env={
            **ENVIRONMENT,
            "FAKE_DELAY_SECONDS": str(delay_seconds),
            "FAKE_TELL": str(texts.with_name("reading")),
        },
        # Under nohup the tests would hand on that nobody listens to it.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        **options,  # type: ignore[call-overload]
    )


def wait_for_start(process: subprocess.Popen[bytes], texts: Path) -> None:
    """Return when an input is being read."""
    while not texts.with_name("reading").exists():
        assert process.poll() is None
        time.sleep(0.01)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("".join(f"text {i}\n" for i in range(150)))
    return path


@pytest.mark.parametrize("numbers", [[signal.SIGHUP], [signal.SIGTERM] * 2, [signal.SIGINT] * 3])
def test_a_run_stops_cleanly_however_it_is_told(
    numbers: list[int], texts: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    silent = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    process = start(output, texts, delay_seconds=0.5, **silent)
    wait_for_start(process, texts)
    for number in numbers:
        process.send_signal(number)
    assert process.wait(60) == 75
    # Stopped, not killed: what was in flight is committed. On a busy machine the second of several
    # signals may come late enough to insist, and then nothing need be committed.
    assert (len(numbers) == 1) <= len(list(read_rows(output))) < 150


def test_the_work_goes_on_when_nobody_reads_the_messages(texts: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    process = start(output, texts, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stderr is not None and process.stdout is not None
    process.stdout.close()
    assert process.stderr.read(5)  # the bar has begun
    process.stderr.close()
    assert process.wait(60) == 0
    assert len(list(read_rows(output))) == 150


def test_streams_that_are_closed_from_the_start_do_not_leak_into_files() -> None:
    result = subprocess.run(
        ["sh", "-c", f'exec {sys.executable} -c "$0" 2>&- 1>&-', DOOR], env=ENVIRONMENT, timeout=60
    )
    assert result.returncode == 0


DOOR = """
import os, sys, types
cli = types.ModuleType("temporal.pipelines.command.cli")
def main():
    from contextlib import redirect_stderr
    with open(os.devnull) as file:
        assert file.fileno() > 2
    os.write(2, b"nobody hears")
cli.main = main
sys.modules["temporal.pipelines"] = types.ModuleType("temporal.pipelines")
sys.modules["temporal.pipelines.command.cli"] = cli
import temporal
temporal.pipelines = sys.modules["temporal.pipelines"]
from temporal.__main__ import main
main()
"""


def test_a_stream_is_forgiving_of_a_closed_reader_and_of_nothing_else() -> None:
    from temporal.pipelines.jobs.streams import Forgiving

    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as file:
        stream = Forgiving(file)
        os.close(reader)
        assert stream.write("text\n") == 5
        stream.flush()
        stream.writelines(["more", "lines"])
        stream.flush()
        assert os.readlink(f"/proc/self/fd/{writer}") == os.devnull
        assert stream.encoding == file.encoding
    if os.path.exists("/dev/full"):
        full = Forgiving(open("/dev/full", "w"))  # noqa: SIM115  # closing it fails, too
        full.write("text")
        with pytest.raises(OSError, match="No space"):
            full.flush()
        with pytest.raises(OSError, match="No space"):
            full.close()
