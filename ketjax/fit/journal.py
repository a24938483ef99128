"""The objective at draws that are done: an interrupted examination goes on after them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from ketjax.fit.uncertainty import Floats, Information

TIMES_TOLD = 20  # in the course of all draws


class Journal:
    """A text file, a line a draw: what it was, and the objective there."""

    def __init__(
        self, path: Path, found: Information, draws: int, tell: Callable[[str], None]
    ) -> None:
        """Read what is there.

        Args:
            path: The file; its folder must exist.
            found: Information at the optimum: lines of another fit are not used.
            draws: How many are wanted.
            tell: Called now and then with how many are done.
        """
        self._path, self._draws, self._tell = path, draws, tell
        self._fit, self._done = found.theta.tobytes() + found.residuals.tobytes(), 0
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        # A line that was cut off lacks its full stop.
        parts = [line.split(" ") for line in lines]
        self._values = {part[0]: float(part[1]) for part in parts if part[2:] == ["."]}
        if lines:
            text = "".join(f"{key} {number!r} .\n" for key, number in self._values.items())
            path.write_text(text, encoding="utf-8")

    def known(self, theta: Floats) -> float | None:
        """The objective at a draw, None if it is not done."""
        return self._values.get(self._key(theta))

    def keep(self, theta: Floats, value: float) -> None:
        """One more draw is done."""
        self._done += 1
        if self._key(theta) not in self._values:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{self._key(theta)} {value!r} .\n")
        if self._done % max(1, self._draws // TIMES_TOLD) == 0:
            self._tell(f"{self._done} of {self._draws} draws")

    def _key(self, theta: Floats) -> str:
        return hashlib.sha256(self._fit + theta.tobytes()).hexdigest()
