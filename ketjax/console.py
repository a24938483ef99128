"""What a person sees while a command runs: messages, progress, and mistakes without tracebacks."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn

from ketjax.errors import EnvironmentFault, KetjaxError

INTERRUPTED = 130
BETWEEN_LINES = 30.0  # seconds between two lines of progress where there is no terminal


@contextmanager
def mistakes() -> Iterator[None]:
    """Turn what a user can cause into a message and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        say("Interrupted.")
        stop()
    except KetjaxError as error:
        say(str(error))
        raise SystemExit(error.exit_code) from None
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "ketjax":
            raise
        say(f"The library {error.name} is not installed: pip install ketjax brings all of them.")
        raise SystemExit(EnvironmentFault.exit_code) from None
    except OSError as error:
        say(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))
        raise SystemExit(EnvironmentFault.exit_code) from None


def stop() -> NoReturn:
    """End at once: compiler threads that still run would bring an orderly end down."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


@contextmanager
def progress(title: str, total: int) -> Iterator[Any]:
    """Progress on stderr: patients, patients per second, time left. Quiet without a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total, rate="compiling")
        begun: list[tuple[int, float]] = []

        def tell(done: int, total: int) -> None:
            # The first call comes when compilation ends: the rate counts from there.
            if not begun:
                threading.Thread(target=_load_libraries, daemon=True).start()
            begun.append((done, time.perf_counter()))
            (first, start), (_, now) = begun[0], begun[-1]
            rate = (
                f"{(done - first) / (now - start):,.0f} patients/s" if done > first else "running"
            )
            bar.update(task, completed=done, total=total, rate=rate)

        yield tell


@contextmanager
def search_progress(title: str) -> Iterator[Any]:
    """Progress of a search on stderr: a bar with a text; without a terminal a line now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(20), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None, text="compiling")
        last = float("-inf")

        def tell(done: int, total: int, text: str) -> None:
            nonlocal last
            bar.update(task, completed=done, total=total, text=text)
            now = time.perf_counter()
            if not console.is_terminal and (now - last >= BETWEEN_LINES or done == total):
                say(f"{title}: {text}")
                last = now

        yield tell


def _load_libraries() -> None:
    """Import what draws and summarises, half a second of work, while the solver runs."""
    for name in ("dask.array", "ketjax.figures"):
        import_module(name)


def say(text: str) -> None:
    """A message on stderr."""
    sys.stderr.write(text.rstrip() + "\n")
