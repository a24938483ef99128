"""The steps of an optimiser: Adam and L-BFGS of optax, and Gauss-Newton with damping.

An objective is a function of the host that takes seconds, so a step is taken here, one evaluation
after the other, and optax says in which direction. No step is taken to where the objective or its
gradient is not finite: it is refused, counted and shortened, and what an optimiser remembers is
made of finite points alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ketjax.fit.line_search import NOISE, line_search

SHORTENINGS = 12  # of one step, before it is given up
LONGEST = 2.0  # step of any number without bounds; a factor of 7 on a logarithmic scale
MEMORY = 10  # pairs of steps and gradients that L-BFGS keeps
WARM_UP = 0.05  # share of the iterations in which the learning rate of Adam rises
FIRST_DAMPING = 1e-3  # of Gauss-Newton, of the curvature of each number
LEAST_DAMPING = 1e-12


class Objective(Protocol):
    """What is minimised: half a sum of squared residuals, of numbers without bounds.

    `width` [points] smooths yes-or-no outcomes: objectives at two widths are two functions.
    """

    names: tuple[str, ...]

    def start(self) -> np.ndarray:
        """Where the first search begins, shape (free,)."""
        ...

    def value_and_gradient(self, theta: np.ndarray, width: float = 0.0) -> tuple[float, np.ndarray]:
        """The objective [1] and its gradient, shape (free,)."""
        ...

    def residuals_and_jacobian(
        self, theta: np.ndarray, width: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Residuals, shape (residual,), and their slopes, shape (residual, free)."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Point:
    """Where an objective was evaluated.

    Attributes:
        theta: Numbers without bounds, shape (free,).
        value: Objective [1].
        gradient: Its slopes, shape (free,).
        residuals: Shape (residual,); empty where they were not asked for.
        jacobian: Their slopes, shape (residual, free).
    """

    theta: np.ndarray
    value: float
    gradient: np.ndarray
    residuals: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    jacobian: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def finite(self) -> bool:
        """Whether objective and gradient are."""
        return bool(np.isfinite(self.value) and np.all(np.isfinite(self.gradient)))

    @property
    def slope(self) -> float:
        """Largest slope of the objective in any number without bounds."""
        return float(np.max(np.abs(self.gradient), initial=0.0))


@dataclasses.dataclass
class Evaluations:
    """An objective at one width, and how often it was asked.

    Attributes:
        objective: What is minimised.
        width: Extra smoothing of yes-or-no outcomes [points].
        squares: Whether residuals and their slopes are wanted.
        count: Evaluations so far.
        refused: Those that were not finite.
    """

    objective: Objective
    width: float = 0.0
    squares: bool = False
    count: int = 0
    refused: int = 0

    def __call__(self, theta: np.ndarray) -> Point:
        """The objective at some numbers, shape (free,)."""
        self.count += 1
        theta = np.array(theta, np.float64)
        if self.squares:
            found = self.objective.residuals_and_jacobian(theta, self.width)
            residuals, jacobian = (np.asarray(array, np.float64) for array in found)
            with np.errstate(all="ignore"):
                value = 0.5 * float(residuals @ residuals)
                point = Point(theta, value, jacobian.T @ residuals, residuals, jacobian)
        else:
            value, gradient = self.objective.value_and_gradient(theta, self.width)
            point = Point(theta, float(value), np.asarray(gradient, np.float64))
        self.refused += not point.finite
        return point


Stepped = tuple[Point | None, Any]  # the point reached, None if there is none; what is remembered


@dataclasses.dataclass(frozen=True)
class Adam:
    """`optax.adam`, its learning rate rising from a tenth in the first iterations, then a cosine.

    Attributes:
        learning_rate: Highest, in numbers without bounds.
        iterations: Over which it falls to zero.
    """

    learning_rate: float
    iterations: int
    squares = False
    carries = True  # moments of gradients are of use at another width

    def begin(self, theta: np.ndarray) -> Any:
        """What is remembered before the first step."""
        with _in_double():
            return _on_host(self._adam().init(jnp.asarray(theta)))

    def step(self, evaluate: Evaluations, point: Point, memory: Any) -> Stepped:
        """One step, which may go up; shortened where it would not be finite.

        Moments that led there are forgotten, else they lead there again.
        """
        with _in_double():
            update, memory = self._adam().update(jnp.asarray(point.gradient), memory)
            step, memory = np.array(update), _on_host(memory)
        for _ in range(SHORTENINGS):
            trial = evaluate(point.theta + step)
            if trial.finite:
                return trial, memory
            step = step / 2
            memory = (self.begin(point.theta)[0], *memory[1:])
        return None, memory

    def _adam(self) -> optax.GradientTransformation:
        rising = max(1, round(WARM_UP * self.iterations))
        rate = optax.warmup_cosine_decay_schedule(
            self.learning_rate / 10, self.learning_rate, rising, max(self.iterations, rising + 1)
        )
        return optax.adam(rate)


@dataclasses.dataclass(frozen=True)
class Lbfgs:
    """The direction of `optax.scale_by_lbfgs`, and how far to go from a search along it.

    The searches that optax has are traced by jax, which an objective of the host cannot be.
    """

    squares = False
    carries = False  # differences of gradients of two functions are no curvature

    def begin(self, theta: np.ndarray) -> Any:
        """What is remembered before the first step."""
        with _in_double():
            return _on_host(optax.scale_by_lbfgs(MEMORY).init(jnp.asarray(theta)))

    def step(self, evaluate: Evaluations, point: Point, memory: Any) -> Stepped:
        """One step down; along the gradient where what is remembered leads nowhere."""
        again = [self.begin(point.theta)] if int(memory.count) else []
        for begun in (memory, *again):
            with _in_double():
                direction, kept = _lbfgs_direction(point.gradient, begun, point.theta)
                direction, kept = -np.array(direction), _on_host(kept)
            slope = float(direction @ point.gradient)
            if not (np.isfinite(slope) and slope < 0):
                continue
            far = LONGEST / float(np.max(np.abs(direction)))
            reached = line_search(
                lambda share, d=direction: evaluate(point.theta + share * d),
                point,
                direction,
                first=min(1.0, far),
                last=far,
            )
            if reached is None:
                continue
            if (reached.theta - point.theta) @ (reached.gradient - point.gradient) <= 0:
                kept = self.begin(point.theta)  # no curvature that could be remembered
            return reached, kept
        return None, memory


@dataclasses.dataclass(frozen=True)
class GaussNewton:
    """Gauss-Newton with damping (Levenberg-Marquardt), which Nielsen's rule moves.

    Equation:
        (J'J + m diag(J'J)) step = -J'r
        m -> m max(1/3, 1 - (2 q - 1)^3) after a step that fell q times what the model said;
        m -> m 2, m 4, m 8 ... after one that did not fall or is not finite
    """

    squares = True
    carries = True

    def begin(self, theta: np.ndarray) -> Any:
        """What is remembered before the first step: the damping."""
        return np.array(FIRST_DAMPING)

    def step(self, evaluate: Evaluations, point: Point, memory: Any) -> Stepped:
        """One step down, more damped until there is one."""
        damping, growth = float(memory), 2.0
        scale = np.linalg.norm(point.jacobian, axis=0)
        scale = np.maximum(scale, 1e-8 * max(float(scale.max()), np.finfo(float).tiny))
        for _ in range(SHORTENINGS):
            # The damped equations as least squares: J'J would lose half the digits.
            left = np.vstack([point.jacobian, np.diag(np.sqrt(damping) * scale)])
            right = np.concatenate([-point.residuals, np.zeros(scale.size)])
            step = np.linalg.lstsq(left, right, rcond=None)[0]
            step *= min(1.0, LONGEST / max(float(np.max(np.abs(step))), np.finfo(float).tiny))
            model = point.residuals + point.jacobian @ step
            expected = point.value - 0.5 * float(model @ model)
            trial = evaluate(point.theta + step)
            if trial.finite and trial.value < point.value:
                quality = (point.value - trial.value) / max(expected, np.finfo(float).tiny)
                damping *= max(1 / 3, 1 - (2 * min(quality, 1.0) - 1) ** 3)
                return trial, np.array(max(damping, LEAST_DAMPING))
            if trial.finite and expected <= NOISE * point.value:
                break  # what could be gained is less than the objective can tell
            damping, growth = damping * growth, growth * 2
        return None, np.array(FIRST_DAMPING)


Method = Adam | Lbfgs | GaussNewton


@jax.jit
def _lbfgs_direction(gradient: Any, memory: Any, theta: Any) -> tuple[Any, Any]:
    return optax.scale_by_lbfgs(MEMORY).update(gradient, memory, theta)


@contextmanager
def _in_double() -> Iterator[None]:
    """Double precision, and the promotion of types that optax counts on."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        yield


def _on_host(memory: Any) -> Any:
    """What an optimiser of optax remembers, as arrays of numpy that nothing can change."""
    return jax.tree.map(np.array, memory)
