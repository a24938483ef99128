"""A fit from its file to its folder: objective, search, and what is written of both."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
import optax

import ketjax
from ketjax.errors import StoreError
from ketjax.fit import checkpoint, methods
from ketjax.fit.history import history_of, save_history
from ketjax.fit.optimise import Progress, optimise
from ketjax.fit.plan import SHIPPED, Fit
from ketjax.fit.report import Report, as_csv
from ketjax.fit.starts import draw_starts
from ketjax.fit.targets import targets_text

MANIFEST, CHECKPOINT, HISTORY, SET, RESULT, TABLE = (
    "manifest.json", "checkpoint.npz", "history.zarr", "set.toml", "result.json", "published.csv",
)  # fmt: skip
# Where the manifest has what an option of the command can change.
OPTIONS = {
    "patients": "population",
    "starts": "optimise",
    "iterations": "optimise",
    "dtype": "solver",
}


class Objective(methods.Objective, Protocol):
    """An objective that can say what it predicts of each target."""

    def predictions(self, theta: np.ndarray, width: float = 0.0) -> np.ndarray:
        """Targets as the objective sees them [unit of each], shape (target,)."""
        ...

    def hard_predictions(self, theta: np.ndarray) -> np.ndarray:
        """Targets with yes-or-no outcomes as they are [unit of each], shape (target,)."""
        ...

    def deviations(self, theta: np.ndarray) -> np.ndarray:
        """Predicted less published, in standard errors [1], shape (target,)."""
        ...


def objective_of(fit: Fit) -> Objective:
    """What is minimised; here its programs are compiled."""
    from ketjax.fit.objective import Objective

    objective = Objective(fit, dtype=fit.solver.dtype)
    return objective.walled(fit) if fit.optimise.no_profile_worse else objective


def read(path: Path, changes: Mapping[str, Any], begun: Path | None = None) -> Fit:
    """Read a fit and change what the options of a command say.

    Args:
        path: The TOML file.
        changes: Settings of `OPTIONS`, as the manifest writes them.
        begun: Folder of a fit that goes on; its seed is taken where the file has none.

    Returns:
        The fit, checked anew.

    Raises:
        StudyError: With every problem.
        StoreError: There is no fit that could go on.
    """
    fit = Fit.read(path)
    document = fit.to_dict()
    for name, value in changes.items():
        document.setdefault(OPTIONS[name], {})[name] = value
    if begun is not None:
        kept = _begun(begun)
        if "seed" not in tomllib.loads(path.read_text("utf-8-sig"))["population"]:
            document["population"]["seed"] = kept["population"]["seed"]
    return Fit.parse(document, path.parent)


def run(
    fit: Fit,
    folder: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    tell: Callable[[Progress], None] | None = None,
) -> Report:
    """Carry a fit out.

    Args:
        fit: What is asked.
        folder: Where it is written: manifest, checkpoint, history, best set, targets, free numbers.
        resume: Go on from the checkpoint.
        overwrite: Delete a fit that is there. Nothing else is ever deleted.
        tell: Called after each iteration.

    Returns:
        What was found.

    Raises:
        StoreError: The folder is taken, in use, or of another fit.
        TooManyFailures: The objective is finite at no start.
    """
    _make(folder, resume=resume, overwrite=overwrite)
    identity = identity_of(fit)
    with _held(folder):
        if resume:  # before anything is compiled
            path = folder / CHECKPOINT
            checkpoint.check_identity(path, checkpoint.read(path)[0]["identity"], identity)
        _keep(fit, folder)
        objective = objective_of(fit)
        starts = draw_starts(fit.unknowns, fit.optimise.starts, fit.optimise.seed)
        starts[0] = objective.start()
        result = optimise(
            objective,
            fit.optimise,
            starts,
            path=folder / CHECKPOINT,
            identity=identity,
            resume=resume,
            tell=tell,
        )
        report = Report(
            fit,
            result,
            identity,
            before=np.asarray(objective.deviations(objective.start()), np.float64),
            after=np.asarray(objective.deviations(result.theta), np.float64),
            smooth=np.asarray(objective.predictions(result.theta), np.float64),
            hard=np.asarray(objective.hard_predictions(result.theta), np.float64),
        )
        save_history(history_of(result, fit.unknowns, identity), folder / HISTORY)
        report.parameter_set().write(checkpoint.partial(folder / SET))
        checkpoint.partial(folder / SET).replace(folder / SET)
        _write(folder / "targets.csv", as_csv(report.targets()))
        _write(folder / "free.csv", as_csv(report.free()))
        found = {"names": [one.name for one in fit.unknowns], "theta": result.theta.tolist()}
        _write(folder / RESULT, json.dumps({**found, "objective": result.value}, indent=1) + "\n")
    return report


def fit_in(folder: Path) -> Fit:
    """The fit of a folder that `run` has written.

    Args:
        folder: The folder.

    Returns:
        The fit, with its targets.

    Raises:
        StoreError: No fit was begun there.
    """
    return Fit.parse(_begun(folder), folder)


def _keep(fit: Fit, folder: Path) -> None:
    """Write manifest and targets, so that the folder tells the fit without any other file."""
    document = fit.to_dict()
    if document.get("targets", SHIPPED) != SHIPPED:
        _write(folder / TABLE, targets_text(fit.summaries))
        document["targets"] = TABLE
    _write(folder / MANIFEST, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def identity_of(fit: Fit) -> dict[str, Any]:
    """What must be the same for a fit to go on with the same bits."""
    return {
        "digest": fit.digest(),
        "patients": fit.population.patients,
        "dtype": fit.solver.dtype,
        "ketjax": ketjax.__version__,
        "jax": jax.__version__,
        "numpy": np.__version__,
        "optax": optax.__version__,
    }


def _make(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Make the folder, or see that it is one that may be written to."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise StoreError(f"{folder}: is no folder; choose another place (--out)")
    if resume:
        _begun(folder)
        return
    if folder.exists() and any(folder.iterdir()):
        if _manifest(folder) is None:
            raise StoreError(f"{folder}: holds something that is no fit; choose another (--out)")
        # One that was interrupted before its first evaluation has nothing to lose.
        begun = (folder / CHECKPOINT).exists() or (folder / SET).exists()
        if begun and not overwrite:
            raise StoreError(
                f"{folder}: exists already; go on with it (--resume), replace it (--overwrite), or "
                "choose another folder (--out)"
            )
        with _held(folder):
            shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)


def _manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a fit in a folder; None if there is none."""
    try:
        kept = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, dict) and {"free", "optimise", "arms"} <= kept.keys() else None


def _begun(folder: Path) -> dict[str, Any]:
    """The manifest of a fit that goes on."""
    kept = _manifest(folder)
    if kept is None:
        raise StoreError(f"{folder}: no fit was begun here; run without --resume")
    return kept


def _write(path: Path, text: str) -> None:
    """Write a text whole or not at all."""
    checkpoint.partial(path).write_text(text, "utf-8")
    checkpoint.partial(path).replace(path)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder for one fit; the system lets go of it when the process ends."""
    import fcntl  # POSIX only

    with (folder / "lock").open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            raise StoreError(
                f"{folder}: another fit is writing here ({handle.read().strip()}). Wait for it to "
                "end, or choose another folder (--out)."
            ) from None
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        handle.flush()
        yield
        handle.truncate(0)
