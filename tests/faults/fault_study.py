"""A study of kinetics that is quick to march, and the command line as a process of its own."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from typer.testing import CliRunner, Result

from ketjax.cli import app

ROOT = Path(__file__).parents[2]
PATIENTS, SHARD = 180, 20
STUDY = f"""
name = "kinetics"
[population]
patients = {PATIENTS}
seed = 5
[output]
horizon = "2 h"
times = ["0 h", "40 min", "2 h"]
readouts = ["plasma_ketamine"]
[arms.infusion]
[[arms.infusion.doses]]
drug = "ketamine"
route = "intravenous"
amount = "0.5 mg/kg"
duration = "40 min"
time = "0 h"
"""


def start(*arguments: object) -> subprocess.Popen[str]:
    """Begin a command of ketjax, as a shell does: tests in the background ignore interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "ketjax", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)


def ended(command: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code, and what was said."""
    _, said = command.communicate(timeout=200)
    assert "Traceback" not in said, said
    return command.returncode, said


def call(*arguments: object) -> tuple[int, str]:
    """Run a command of ketjax to its end."""
    return ended(start(*arguments))


def stop_after(command: subprocess.Popen[str], store: Path, shards: int, by: int) -> None:
    """Send a signal when so many shards have been finished from now on."""

    def finished() -> int:
        return len(list((store / "journal").glob("shard-*.json")))

    end, until = time.monotonic() + 150, finished() + shards
    while finished() < until:
        assert command.poll() is None, command.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.005)
    command.send_signal(by)
    if by == signal.SIGKILL:
        command.communicate()


def data_of(store: Path) -> dict[str, str]:
    """Digest of every file that holds numbers."""
    return {
        str(file.relative_to(store)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(store.glob("*/c/**/*"))
        if file.is_file()
    }


def here(*arguments: object) -> Result:
    """Run a command in this process; whatever ends it other than a chosen exit is a failure."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result
