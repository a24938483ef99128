"""What was asked of an objective: an interrupted examination goes on after it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ketjax.fit.uncertainty import Floats, Information

TIMES_TOLD = 20  # in the course of all draws
VALUES, POINTS = "draws", "points of the surrogate"


class Journal:
    """A folder with a file for each point: the objective there, or residuals and their slopes."""

    def __init__(
        self,
        folder: Path | None = None,
        found: Information | None = None,
        draws: int = 0,
        points: int = 0,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """See what is there.

        Args:
            folder: Where files are kept; nothing is kept without one.
            found: Information at the optimum: files of another fit are not used.
            draws: At how many points the objective is wanted.
            points: At how many points residuals are wanted.
            tell: Called now and then with how many are done.
        """
        self._folder, self._tell = folder, tell
        self._fit = b"" if found is None else found.theta.tobytes() + found.residuals.tobytes()
        self._wanted, self._done = {VALUES: draws, POINTS: points}, {VALUES: 0, POINTS: 0}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def value(self, theta: Floats, ask: Callable[[Floats], float]) -> float:
        """The objective at a draw; asked where it is not known."""
        (value,) = self._kept(VALUES, theta, lambda at: (np.array(ask(at)),))
        return float(value)

    def residuals(
        self, theta: Floats, ask: Callable[[Floats], tuple[Floats, Floats]]
    ) -> tuple[Floats, Floats]:
        """Residuals and their slopes at a point; asked where they are not known."""
        residuals, slopes = self._kept(POINTS, theta, ask)
        return residuals, slopes

    def _kept(
        self, kind: str, theta: Floats, ask: Callable[[Floats], tuple[Floats, ...]]
    ) -> tuple[Floats, ...]:
        """What stands in the file of a point, else what is asked and written there."""
        key = hashlib.sha256(kind.encode() + self._fit + theta.tobytes()).hexdigest()
        path = None if self._folder is None else self._folder / f"{key}.npz"
        if path is not None and path.exists():
            with np.load(path) as kept:
                found = tuple(kept[name] for name in sorted(kept.files))
        else:
            found = tuple(np.asarray(array, np.float64) for array in ask(theta))
            if path is not None:
                partial = path.with_suffix(".partial.npz")
                np.savez(partial, *found)
                os.replace(partial, path)
        self._done[kind] += 1
        done, wanted = self._done[kind], self._wanted[kind]
        if done % max(1, wanted // TIMES_TOLD) == 0:
            self._tell(f"{done} of {wanted} {kind}")
        return found
