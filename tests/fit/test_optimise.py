"""The optimiser against closed forms, another library, and itself where it was interrupted."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize, rosen, rosen_der

from ketjax.errors import StoreError, TooManyFailures
from ketjax.fit.history import history_of, save_history
from ketjax.fit.methods import Adam, Evaluations, GaussNewton, Lbfgs
from ketjax.fit.optimise import Result, optimise
from ketjax.fit.search import stages_of
from ketjax.fit.settings import Optimise


class Residuals:
    """An objective from residuals of numbers without bounds, that may stop after some calls."""

    def __init__(self, names, start, residuals, jacobian, stop_after=10**9, error=RuntimeError):
        """Keep all; calls beyond `stop_after` raise the error."""
        self.names, self._start = tuple(names), np.array(start, float)
        self._residuals, self._jacobian = residuals, jacobian
        self.calls, self.stop_after, self.error = [], stop_after, error

    def start(self):
        """Where the first search begins."""
        return self._start

    def residuals_and_jacobian(self, theta, width=0.0):
        """Both, and one more call."""
        self.calls.append((theta.copy(), width))
        if len(self.calls) > self.stop_after:
            raise self.error
        with np.errstate(all="ignore"):
            return self._residuals(theta), self._jacobian(theta)

    def value_and_gradient(self, theta, width=0.0):
        """Half a sum of squares."""
        residuals, jacobian = self.residuals_and_jacobian(theta, width)
        return 0.5 * residuals @ residuals, jacobian.T @ residuals


def rosenbrock(**more) -> Residuals:
    """That of scipy for two numbers, as residuals."""
    root = np.sqrt(2)
    return Residuals(
        ("a", "b"),
        (-1.2, 1.0),
        lambda u: root * np.array([10 * (u[1] - u[0] ** 2), 1 - u[0]]),
        lambda u: root * np.array([[-20 * u[0], 10.0], [-1.0, 0.0]]),
        **more,
    )


def linear(rng: np.random.Generator, prior: float = 0.5):
    """A linear model with normal errors and priors, and its posterior mode in closed form."""
    matrix, data = rng.normal(size=(12, 4)), rng.normal(size=12)
    whole = np.vstack([matrix, np.eye(4) / prior])
    mode = np.linalg.solve(matrix.T @ matrix + np.eye(4) / prior**2, matrix.T @ data)
    right = np.concatenate([data, np.zeros(4)])
    names = [f"p{k}" for k in range(4)]
    return Residuals(names, np.ones(4), lambda u: whole @ u - right, lambda u: whole), mode


def settings(*methods: str, **more) -> Optimise:
    exact = {"tolerance": 0.0, "gradient_tolerance": 1e-8, "width": 0.0, "iterations": 100}
    return Optimise(methods=methods, **{**exact, **more})  # type: ignore[arg-type]


def search(objective: Residuals, plan: Optimise, starts=None, **more) -> Result:
    starts = objective.start()[None] if starts is None else np.array(starts, float)
    return optimise(objective, plan, starts, **more)


@pytest.mark.parametrize("method", ["lbfgs", "gauss_newton"])
def test_rosenbrock_in_few_evaluations(method: str) -> None:
    objective = rosenbrock()
    found = search(objective, settings(method))
    np.testing.assert_allclose(found.theta, [1, 1], atol=1e-7)
    theirs = minimize(
        rosen, objective.start(), jac=rosen_der, method="L-BFGS-B",
        options={"ftol": 0, "gtol": 1e-8},
    )  # fmt: skip
    assert len(objective.calls) <= 1.2 * theirs.nfev
    assert found.searches[0].stops == ("gradient",)
    assert found.searches[0].evaluations == len(objective.calls)


@pytest.mark.parametrize("method", ["adam", "lbfgs", "gauss_newton"])
def test_posterior_mode_in_closed_form(method: str) -> None:
    objective, mode = linear(np.random.default_rng(3))
    plan = settings(method, learning_rate=0.1, iterations=400)
    found = search(objective, plan)
    np.testing.assert_allclose(found.theta, mode, atol=1e-4 if method == "adam" else 1e-7)
    if method == "gauss_newton":
        assert len(objective.calls) < 12


def test_adam_takes_the_steps_that_it_is_defined_by() -> None:
    objective = rosenbrock()
    method, evaluate = Adam(0.05, 40), Evaluations(objective)
    point = evaluate(objective.start())
    memory, theta = method.begin(point.theta), point.theta
    first, second = np.zeros(2), np.zeros(2)
    rates = [0.005, 0.005 + 0.045 / 2]
    rates += [0.05 * 0.5 * (1 + np.cos(np.pi * k / 38)) for k in range(8)]
    for k, rate in enumerate(rates, start=1):
        gradient = rosen_der(theta)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        theta = theta - rate * (first / (1 - 0.9**k)) / (np.sqrt(second / (1 - 0.999**k)) + 1e-8)
        point, memory = method.step(evaluate, point, memory)
        assert point is not None
        np.testing.assert_allclose(point.theta, theta, rtol=1e-6)


def two_minima(**more) -> Residuals:
    """Minima near -1 and 1; that near -1 is the lower."""
    return Residuals(
        ("x",),
        (0.8,),
        lambda u: np.array([u[0] ** 2 - 1, 0.3 * (u[0] + 1)]),
        lambda u: np.array([[2 * u[0]], [0.3]]),
        **more,
    )


def test_the_better_of_two_minima() -> None:
    plan = settings("lbfgs", starts=2)
    found = search(two_minima(), plan, [[0.8], [-0.5]])
    alone = search(two_minima(), plan, [[0.8]])
    assert alone.theta[0] > 0 > found.theta[0]
    assert [one.start for one in found.searches] == [0, 1]
    assert found.value == min(one.value for one in found.searches)
    assert found.searches[0] == dataclasses.replace(
        alone.searches[0], seconds=found.searches[0].seconds
    )


def walled(beyond: float, nan_gradient: bool = False) -> Residuals:
    """Lowest at 2, not finite beyond a wall."""

    def residuals(u):
        return np.array([u[0] - 2, 0.1 * u[0]]) * (np.nan if u[0] > beyond else 1.0)

    def jacobian(u):
        return np.array([[1.0], [0.1]]) * (np.nan if nan_gradient and u[0] > beyond else 1.0)

    return Residuals(("x",), (0.0,), residuals, jacobian)


@pytest.mark.parametrize("method", ["adam", "lbfgs", "gauss_newton"])
@pytest.mark.parametrize("wall", [1.0, 2.05])
def test_what_is_not_finite_is_refused_and_told(method: str, wall: float) -> None:
    plan = settings(method, learning_rate=0.4, iterations=200, patience=200)
    found = search(walled(wall), plan)
    assert np.isfinite(found.value) and found.theta[0] <= wall
    assert all(np.isfinite(record.value) for record in found.records)
    np.testing.assert_allclose(found.theta[0], min(wall, 2 / 1.01), atol=0.02)
    assert (found.searches[0].refused > 0) or wall > 2


def test_a_start_beyond_the_wall_comes_nearer() -> None:
    found = search(walled(1.0), settings("lbfgs"), [[0.0], [4.0]])
    assert found.searches[1].begin == (1.0,) and found.searches[1].refused >= 2
    with pytest.raises(TooManyFailures, match="none of the 2 starts"):
        search(walled(-1.0), settings("lbfgs"), [[0.0], [4.0]])
    half = search(walled(-1.0), settings("lbfgs"), [[0.0], [-4.0]])
    assert half.searches[0].stops == ("not_finite",) and np.isnan(half.searches[0].value)
    assert half.value == half.searches[1].value


def test_stop_rules_are_named() -> None:
    def stops(plan: Optimise) -> tuple[str, ...]:
        return search(rosenbrock(), plan).searches[0].stops

    assert stops(settings("adam", iterations=5)) == ("iterations",)
    assert stops(settings("lbfgs", gradient_tolerance=1.0)) == ("gradient",)
    assert stops(settings("adam", tolerance=0.9, patience=3)) == ("tolerance",)
    assert stops(settings("adam", "lbfgs", iterations=4)) == ("iterations", "iterations")
    uphill = Residuals(("x",), (1.0,), lambda u: u, lambda u: -np.eye(1))  # a wrong slope
    for method in ("lbfgs", "gauss_newton"):
        assert search(uphill, settings(method)).searches[0].stops == ("no_lower",)


def test_patience_counts_iterations() -> None:
    flat = Residuals(("x",), (0.0,), lambda u: np.array([1.0, 0.1 * u[0]]),
                     lambda u: np.array([[0.0], [0.1]]))  # fmt: skip
    plan = settings("adam", tolerance=0.5, patience=7, gradient_tolerance=0.0)
    found = search(flat, plan, [[1.0]])
    assert found.searches[0].stops == ("tolerance",) and found.records[-1].iteration == 7


def test_width_shrinks_to_nothing() -> None:
    plan = Optimise(methods=("adam", "lbfgs"), iterations=10, width=2.0)
    stages = stages_of(plan)
    assert [stage.width for stage in stages] == [2, 1, 0.5, 0.25, 0]
    assert [stage.iterations for stage in stages] == [2, 3, 2, 3, 10]
    alone = stages_of(Optimise(methods=("gauss_newton",), iterations=9, width=2.0))
    assert [stage.iterations for stage in alone] == [1, 1, 1, 1, 5] and alone[-1].width == 0
    assert [s.iterations for s in stages_of(settings("adam", iterations=1, width=2.0))] == [1]
    assert len(stages_of(settings("adam", "lbfgs", width=0.0))) == 2
    objective = rosenbrock()
    found = search(objective, plan)
    asked = [width for _, width in objective.calls]
    assert asked == sorted(asked, reverse=True) and asked[-1] == 0
    assert len(found.searches[0].stops) == 5


def test_the_lowest_point_is_of_the_last_stage() -> None:
    """An objective that is lower by far where it is smoothed."""

    class Smoothed(Residuals):  # noqa: D101, D102
        def residuals_and_jacobian(self, theta, width=0.0):
            residuals, jacobian = super().residuals_and_jacobian(theta, width)
            return residuals / (1 + 10 * width), jacobian / (1 + 10 * width)

    plain = rosenbrock()
    objective = Smoothed(plain.names, plain.start(), plain._residuals, plain._jacobian)
    found = search(objective, settings("adam", "lbfgs", iterations=12, width=2.0))
    last = [r.value for r in found.records if found.stages[r.stage].width == 0]
    assert found.value == min(last) > min(r.value for r in found.records)
    np.testing.assert_allclose(found.value, rosen(found.theta))


def whole(found: Result) -> list:
    """Everything but the time it took."""
    records = [(r.start, r.stage, r.iteration, *r.theta, r.value, r.gradient_norm)
               for r in found.records]  # fmt: skip
    ended = [dataclasses.replace(one, seconds=0.0) for one in found.searches]
    return [found.names, found.theta.tolist(), found.value, ended, found.stages, records]


PLAN = settings("adam", "lbfgs", "gauss_newton", iterations=8, width=1.0, checkpoint_every=3)
STARTS = [[-1.2, 1.0], [0.5, 2.0]]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_resumed_is_undisturbed_bit_for_bit(error: type, tmp_path: Path) -> None:
    clean = search(rosenbrock(), PLAN, STARTS)
    calls = sum(one.evaluations for one in clean.searches)
    for kill in (0, *range(1, calls, 5), calls - 1):
        path = tmp_path / f"{kill}.npz"
        with pytest.raises(error):
            search(rosenbrock(stop_after=kill, error=error), PLAN, STARTS, path=path)
        found = search(rosenbrock(), PLAN, STARTS, path=path, resume=True)
        assert whole(found) == whole(clean), kill
    again = rosenbrock()
    assert whole(search(again, PLAN, STARTS, path=path, resume=True)) == whole(clean)
    assert not again.calls  # it was complete
    assert not list(tmp_path.glob("*.partial"))


def test_an_interrupted_iteration_alone_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    plan = settings("adam", iterations=50, patience=50, checkpoint_every=1000)
    with pytest.raises(KeyboardInterrupt):
        search(rosenbrock(stop_after=20, error=KeyboardInterrupt), plan, path=path)
    rest = rosenbrock()
    search(rest, plan, path=path, resume=True)
    assert len(rest.calls) == 51 - 20


KILLED = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_optimise import PLAN, STARTS, rosenbrock, search
class Slow(type(rosenbrock())):
    def residuals_and_jacobian(self, theta, width=0.0):
        if len(self.calls) == 25: print("ready", flush=True); time.sleep(60)
        return super().residuals_and_jacobian(theta, width)
objective = rosenbrock()
objective.__class__ = Slow
search(objective, PLAN, STARTS, path=Path(sys.argv[2]))
"""


def test_a_killed_process_leaves_a_whole_state(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGKILL)
    found = search(rosenbrock(), PLAN, STARTS, path=path, resume=True)
    assert whole(found) == whole(search(rosenbrock(), PLAN, STARTS))


def test_the_state_of_another_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    with pytest.raises(StoreError, match="without --resume"):
        search(rosenbrock(), PLAN, path=path, resume=True)
    search(rosenbrock(), PLAN, path=path, identity={"patients": 64, "dtype": "float32"})
    with pytest.raises(StoreError, match="patients 64, here 32.*--overwrite") as caught:
        ours = {"patients": 32, "dtype": "float32"}
        search(rosenbrock(), PLAN, path=path, identity=ours, resume=True)
    assert "dtype" not in str(caught.value)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StoreError, match="damaged"):
        search(rosenbrock(), PLAN, path=path, resume=True)


def test_history_is_a_dataset(tmp_path: Path) -> None:
    import xarray as xr

    found = search(rosenbrock(), PLAN, STARTS)
    history = history_of(found, attributes={"digest": "x"})
    longest = max(sum(r.start == k for r in found.records) for k in (0, 1))
    assert dict(history.sizes) == {"start": 2, "iteration": longest, "parameter": 2}
    np.testing.assert_array_equal(history["theta"][0, 0], STARTS[0])
    path = tmp_path / "history.zarr"
    for _ in range(2):  # the second replaces the first
        save_history(history, path)
    with xr.open_zarr(path, consolidated=False) as kept:
        assert kept.attrs["digest"] == "x" and list(kept["parameter"].values) == ["a", "b"]
        used = kept["method"].values >= 0
        assert used.sum() == len(found.records)
        assert np.isfinite(kept["objective"].values[used]).all()
        assert np.isnan(kept["objective"].values[~used]).all()
        width = kept["width"].values[0]
        assert width[0] == 1 and width[used[0]][-1] == 0
        last = kept["objective"].values[0][used[0] & (width == 0)]
        assert np.nanmin(last) == found.searches[0].value


def test_progress_is_told() -> None:
    told = []
    search(rosenbrock(), settings("lbfgs", iterations=6), STARTS, tell=told.append)
    assert [one.iteration for one in told if one.start == 0] == list(range(7))
    assert np.isnan(told[0].fall) and told[1].fall > 0
    assert told[-1].done == told[-1].total == 12 and told[-1].left == 0
    done = [one.done for one in told]
    assert done == sorted(done) and {one.starts for one in told} == {2}


def test_rounding_ends_gauss_newton_at_once() -> None:
    """Where nothing can be gained that single precision could tell."""
    objective, mode = linear(np.random.default_rng(3))
    noisy = Residuals(
        objective.names, mode + 1e-4,
        lambda u: objective._residuals(u) * (1 + 1e-7 * (u != mode + 1e-4).any()),
        objective._jacobian,
    )  # fmt: skip
    found = search(noisy, settings("gauss_newton"))
    assert found.searches[0].stops == ("no_lower",) and len(noisy.calls) == 2


def test_steps_are_never_longer_than_allowed() -> None:
    steep = Residuals(("x",), (0.0,), lambda u: np.array([1e-3 * (u[0] - 1e6)]),
                      lambda u: np.array([[1e-3]]))  # fmt: skip
    for method in (Lbfgs(), GaussNewton()):
        evaluate = Evaluations(steep, squares=method.squares)
        point = evaluate(steep.start())
        reached, _ = method.step(evaluate, point, method.begin(point.theta))
        assert reached is not None and 0 < reached.theta[0] <= 2
