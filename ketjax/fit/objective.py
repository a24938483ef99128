"""What a fit minimises: half the squared residuals of targets and priors, with its gradient.

    theta -> courses of all arms -> predictions -> residuals

The first arrow is the march (`courses`), which goes block by block and has its own way back; the
others are one expression. The same patients answer at every theta, so the objective is a smooth
function and not a noisy one.
"""

from __future__ import annotations

import copy
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from numpy.typing import NDArray

from ketjax.fit.courses import Courses, Marched
from ketjax.fit.likelihood import Likelihood
from ketjax.fit.plan import Fit
from ketjax.fit.priors import Priors
from ketjax.fit.statistics import Statistics
from ketjax.fit.walls import Walls
from ketjax.model.parameters import Parameters, replace
from ketjax.preparation import values_of

ROWS = 4  # rows of a Jacobian that go back through the march together

Array = NDArray[np.float64]
Seen = tuple[dict[str, Any], dict[str, Any]]


class Objective:
    """The objective of a fit.

    Attributes:
        names: Of the free numbers.
        courses: The march.
        failures: Patients, counted in all arms, whose last march failed; others stood in.
    """

    def __init__(self, fit: Fit, patients: int | None = None, dtype: str = "float32") -> None:
        """Prepare march and statistics.

        Args:
            fit: The fit.
            patients: How many in each arm; those of the fit if not given.
            dtype: Of the march, "float32" or "float64"; everything else is float64.
        """
        count = fit.population.patients if patients is None else patients
        self.names = tuple(one.name for one in fit.unknowns)
        self.failures = 0
        self._targets = fit.summaries
        self._values = {name: values_of(arm) for name, arm in fit.arms.items()}
        with jax.enable_x64(True):
            self._statistics = Statistics(fit, np.arange(count))
            self._likelihood, self._priors = Likelihood(fit), Priors(fit)
        self.courses = Courses(
            fit, count, self._statistics.times, self._statistics.readouts, dtype=dtype
        )
        self._walls: Walls | None = None
        self._last: Marched | None = None
        self._groups = _apart([target.arms for target in self._targets])
        self._predict_program = jax.jit(self._predict)
        self._rows_program = jax.jit(self._rows)
        self._direct_program = jax.jit(jax.jacfwd(self._predict, argnums=1))
        self._weigh()

    def _weigh(self) -> None:
        """Programs that depend on the weights of the targets."""
        self._value_program = jax.jit(jax.value_and_grad(self._value, argnums=(0, 1)))
        self._residuals_program = jax.jit(self._residuals)

    def of(self, fit: Fit) -> Objective:
        """The objective of a fit that differs in the weights of its targets alone.

        Args:
            fit: The other fit.

        Returns:
            An objective that shares patients, meshes and programs with this one.
        """
        other = copy.copy(self)
        other._last = self._last = None  # states of a march would live as long as either
        with jax.enable_x64(True):
            other._likelihood = Likelihood(fit)
        other._weigh()
        return other

    def walled(self, fit: Fit) -> Objective:
        """The same objective with walls: no profile may be met worse than at the start.

        Args:
            fit: The fit of this objective.
        """
        other = copy.copy(self)
        other._walls = Walls(fit, self.deviations(self.start()))
        other._last, self._last = self._last, None
        other._weigh()
        return other

    def forget(self) -> None:
        """Let go of the states of the last march, which can be a gigabyte or two."""
        self._last = None

    def start(self) -> Array:
        """Where nothing has moved: numbers without bounds, shape (free,)."""
        return self.courses.map.start()

    def value(self, theta: ArrayLike, width: float = 0.0) -> float:
        """The objective.

        Args:
            theta: Numbers without bounds, shape (free,).
            width: SD added to that of raters where yes or no is asked [points].

        Returns:
            Half the sum of squared residuals; infinite where something is not finite.
        """
        where = np.asarray(theta, np.float64)
        with jax.enable_x64(True):
            predicted = self._predict_program(self._seen(where), jnp.asarray(where), width)
            data, prior = self._residuals_program(predicted, jnp.asarray(where))
        total = 0.5 * float(np.sum(np.square(data)) + np.sum(np.square(prior)))
        return total if np.isfinite(total) else np.inf

    def value_and_gradient(self, theta: ArrayLike, width: float = 0.0) -> tuple[float, Array]:
        """The objective and its derivatives.

        Args:
            theta: Numbers without bounds, shape (free,).
            width: SD added to that of raters where yes or no is asked [points].

        Returns:
            Half the sum of squared residuals, and its gradient, shape (free,).
        """
        where = np.asarray(theta, np.float64)
        with jax.enable_x64(True):
            courses, donors = self._seen(where)
            value, (back, direct) = self._value_program(courses, jnp.asarray(where), width, donors)
            if not np.isfinite(value):
                return np.inf, np.zeros(where.size)
            assert self._last is not None
            through = self.courses.pull(
                self._last, {arm: np.asarray(rows)[None] for arm, rows in back.items()}
            )
        return float(value), np.asarray(direct) + through[0]

    def residuals_and_jacobian(self, theta: ArrayLike, width: float = 0.0) -> tuple[Array, Array]:
        """Residuals of targets, of walls if there are any, and of priors, and their derivatives.

        Args:
            theta: Numbers without bounds, shape (free,).
            width: SD added to that of raters where yes or no is asked [points].

        Returns:
            (residual,) and (residual, free); half the sum of squares is the objective. With walls
            there are residuals of nothing besides, whose slopes say how walls bend.
        """
        where = np.asarray(theta, np.float64)
        with jax.enable_x64(True):
            point = jnp.asarray(where)
            predicted = self._predict_program(self._seen(where), point, width)
            data, prior = self._residuals_program(predicted, point)
            by_prediction = jax.jacfwd(self._data)(predicted)
            by_theta = jax.jacfwd(self._priors.residuals)(point)
            bend = self._bend(predicted)
        slopes = self.jacobian(where, width)
        return (
            np.concatenate([np.asarray(data), np.zeros(len(bend)), np.asarray(prior)]),
            np.concatenate([np.asarray(by_prediction) @ slopes, bend @ slopes, by_theta]),
        )

    def jacobian(self, theta: ArrayLike, width: float = 0.0) -> Array:
        """Derivatives of the predictions, (target, free) [unit of each target].

        Targets that have no arm in common share a way back through the statistics; each arm takes
        its own targets back through the march, `ROWS` at a time.
        """
        where = np.asarray(theta, np.float64)
        with jax.enable_x64(True):
            seen, point = self._seen(where), jnp.asarray(where)
            total = np.array(self._direct_program(seen, point, width), np.float64)
            rows: dict[str, list[tuple[int, np.ndarray]]] = {}
            for group in self._groups:
                marks = np.zeros(len(self._targets))
                marks[group] = 1
                back = self._rows_program(seen, point, width, jnp.asarray(marks))
                for k in group:
                    for arm in self._targets[k].arms:
                        rows.setdefault(arm, []).append((k, np.asarray(back[arm])))
            assert self._last is not None
            for arm, some in rows.items():
                for first in range(0, len(some), ROWS):
                    part = some[first : first + ROWS]
                    stack = np.zeros((ROWS, *part[0][1].shape))
                    for place, (_, row) in enumerate(part):
                        stack[place] = row
                    found = self.courses.pull(self._last, {arm: stack})
                    for place, (k, _) in enumerate(part):
                        total[k] += found[place]
        return total

    def predictions(self, theta: ArrayLike, width: float = 0.0) -> Array:
        """Targets as the objective sees them [unit of each], shape (target,)."""
        where = np.asarray(theta, np.float64)
        with jax.enable_x64(True):
            return np.asarray(self._predict_program(self._seen(where), jnp.asarray(where), width))

    def hard_predictions(self, theta: ArrayLike) -> Array:
        """Targets as a study counts them, ratings drawn [unit of each], shape (target,)."""
        where = np.asarray(theta, np.float64)
        with jax.enable_x64(True):
            drawn = jax.tree.map(np.asarray, self.courses.map.parameters(jnp.asarray(where)))
            courses, donors = self._seen(where)
            own = jax.tree.map(np.asarray, self._own(drawn, donors))
            return self._statistics.predict_hard(courses, own)

    def deviations(self, theta: ArrayLike) -> Array:
        """Predicted less published, in standard errors [1], shape (target,)."""
        predicted = self.predictions(theta)
        with jax.enable_x64(True):
            return np.asarray(self._likelihood.deviations(jnp.asarray(predicted)))

    def _seen(self, theta: Array) -> Seen:
        """Courses in float64, and who stands in for whom; those of the last theta are kept."""
        if self._last is None or not np.array_equal(self._last.theta, theta):
            self._last = None  # its states go before the next are kept
            self._last = self.courses.march(theta)
            self.failures = sum(places.size for places in self._last.failed.values())
        courses = {arm: rows.astype(np.float64) for arm, rows in self._last.courses.items()}
        return courses, self._last.donors

    def _own(self, drawn: Parameters, donors: dict) -> dict[str, Parameters]:
        """Drawn parameters in each arm; who stands in for another brings the score at entry."""
        entry = jnp.broadcast_to(jnp.asarray(drawn.score.baseline), self.courses.map.patient.shape)
        return {
            arm: replace(drawn, {**self._values[arm], "score.baseline": entry[donors[arm]]})
            for arm in self._statistics.times
        }

    def _predict(self, seen: Seen, theta: jax.Array, width: ArrayLike) -> jax.Array:
        courses, donors = seen
        drawn = self.courses.map.parameters(theta)
        return self._statistics.predict(courses, self._own(drawn, donors), width)

    def _residuals(self, predicted: jax.Array, theta: jax.Array) -> tuple[jax.Array, jax.Array]:
        return self._data(predicted), self._priors.residuals(theta)

    def _data(self, predicted: jax.Array) -> jax.Array:
        """Residuals of the targets, and of walls if there are any."""
        found = self._likelihood.residuals(predicted)
        if self._walls is None:
            return found
        walls = self._walls.residuals(self._likelihood.deviations(predicted))
        return jnp.concatenate([found, walls])

    def _bend(self, predicted: jax.Array) -> np.ndarray:
        """By predictions, how walls bend; shape (target, target), or no row without walls."""
        if self._walls is None:
            return np.zeros((0, predicted.size))
        bend = self._walls.bend(np.asarray(self._likelihood.deviations(predicted)))
        return bend[:, None] * np.asarray(jax.jacfwd(self._likelihood.deviations)(predicted))

    def _value(self, courses: dict, theta: jax.Array, width: ArrayLike, donors: dict) -> jax.Array:
        data, prior = self._residuals(self._predict((courses, donors), theta, width), theta)
        return 0.5 * (jnp.sum(data**2) + jnp.sum(prior**2))

    def _rows(self, seen: Seen, theta: jax.Array, width: ArrayLike, marks: jax.Array) -> dict:
        """Derivatives of the marked predictions, added up, with respect to the courses."""
        courses, donors = seen
        _, pull = jax.vjp(lambda some: self._predict((some, donors), theta, width), courses)
        return pull(marks)[0]


def _apart(arms: list[tuple[str, ...]]) -> list[list[int]]:
    """Targets in groups within which no two speak of the same arm."""
    groups: list[list[int]] = []
    taken: list[set[str]] = []
    for k, some in enumerate(arms):
        free = [place for place, names in enumerate(taken) if names.isdisjoint(some)]
        if not free:
            free = [len(groups)]
            groups.append([])
            taken.append(set())
        groups[free[0]].append(k)
        taken[free[0]].update(some)
    return groups
