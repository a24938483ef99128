"""Which method, which share of the pilot, and is one mesh better than a step size for each patient?

The course in float64 with each method over tolerances from 1e-2 to 1e-5, and for one method two
shares of the pilot that the mesh serves. Work is counted as steps times the arithmetic of one step,
so that the diagram does not depend on the load of the machine; error is the 90th percentile over
patients of the largest difference of a readout from a run at a tolerance of 1e-7, in units of its
scale. The rival gives every patient a time and a step size of its own and goes on until the last
has arrived; the error of its states at the end is compared with that of the mesh.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.record import Figure
from ketjax.model import readouts
from ketjax.model.states import rows as state_rows
from ketjax.population import draw
from ketjax.population.population import Population
from ketjax.preparation import recipe_of, simulation_of
from ketjax.simulate import Simulation
from ketjax.solve import RODAS3, RODAS4, RODAS5P, ROS4, Mesh, Method, System
from ketjax.solve.mesh import anchors_of
from ketjax.solve.solution import Result
from ketjax.solve.structure import trace
from ketjax.study import Study

FACTORS = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
SHARES = {"Rodas3": (0.98,), "Ros4": (0.98,), "Rodas4": (0.8, 0.98), "Rodas5P": (0.98,)}
BASE = 1e-3
AIM = 1e-5  # error at which the methods are compared [scale of the readout]
RIVAL = "a step size each"
COLOURS = {"Rodas3": "C0", "Ros4": "C1", "Rodas4": "C2", "Rodas5P": "C3", RIVAL: "k"}


def prepared(study: Study, method: Method) -> tuple[Simulation, tuple, dict[str, Any]]:
    """A simulation of the course with what its mesh is made from."""
    asked: dict[str, Any] = {}
    original = System.make_mesh

    def ask(self: System, *arguments: Any, **options: Any) -> None:
        asked.update(arguments=arguments, options=options)

    try:
        System.make_mesh = ask  # type: ignore[method-assign]
        recipe = recipe_of(study)
        first = simulation_of(study, recipe)
        simulation = Simulation(
            recipe, first.treatments, study.times, names=study.readouts, rtol=BASE,
            dtype="float64", method=method,
        )  # fmt: skip
    finally:
        System.make_mesh = original  # type: ignore[method-assign]
    # A mesh that was kept knows nothing of the tolerances tried here.
    simulation.system._identity = ""
    return simulation, asked["arguments"], asked["options"]


def mesh_at(system: System, factor: float, arguments: tuple, options: dict[str, Any]) -> Mesh:
    """The mesh at a tolerance changed by a factor, without compiling anew."""
    original = system._advance_program

    def advance(*inputs: Any) -> tuple:
        y, error, seen = original(*inputs)
        return y, error / factor, seen

    system._advance_program = advance
    try:
        return system.make_mesh(*arguments, **options)
    finally:
        system._advance_program = original


def operations(system: System, lanes: Any) -> int:
    """Elementwise operations of one step for one patient."""
    cut = jax.tree.map(lambda leaf: leaf[..., :8] if np.ndim(leaf) else leaf, lanes.parameters)
    y = tuple(np.asarray(value)[:8] for value in system._start(lanes.y0, lanes.parameters))

    def one(t: Any, h: Any, y: tuple, parameters: Any, forcing: Any) -> tuple:
        return system._trial(t, h, y, parameters, forcing, 0)

    program = trace(one, 0.0, 0.1, y, cut, lanes.forcing)
    return sum(
        getattr(equation.outvars[0].aval, "shape", ()) == (8,) for equation in program.equations
    )


def rival(simulation: Simulation, lanes: Any, tolerance: float) -> tuple[float, float, np.ndarray]:
    """Every patient with a time and a step size of its own, from anchor to anchor in lockstep.

    Returns:
        Iterations until the last patient has arrived, mean number of a patient's own steps, and the
        states at the end (state, patient).
    """
    system = simulation.system
    parameters, forcing = lanes.parameters, lanes.forcing
    anchors = anchors_of(simulation.grid, simulation._edges)
    exponent = 1.0 / (system.method.error_order + 1)
    constants = jax.jit(system._constants)(system._start(lanes.y0, parameters), parameters, forcing)

    @jax.jit
    def leg(y: tuple, h: Any, left: Any, right: Any, segment: Any) -> tuple:
        def moving(carry: tuple) -> Any:
            return jnp.any(carry[0] < right)

        def body(carry: tuple) -> tuple:
            t, y, h, own, count = carry
            # Those that have arrived take a step that is thrown away.
            length = jnp.where(t < right, jnp.minimum(h, right - t), 1e-3)
            row = (t, length, segment, False)
            y_new, error = system._one_step(
                y, row, parameters, constants, forcing, None, jumps=False
            )
            error = error * (BASE / tolerance)
            good = (error <= 1.0) & (t < right)
            last = length >= (right - t) * (1.0 - 1e-12)
            y = tuple(jnp.where(good, new, old) for new, old in zip(y_new, y, strict=True))
            growth = jnp.clip(0.9 * jnp.maximum(error, 1e-6) ** -exponent, 0.2, 5.0)
            proposal = jnp.where(
                good & last & (growth > 1.0), jnp.maximum(h, length), length * growth
            )
            h = jnp.where(t < right, proposal, h)
            t = jnp.where(good, jnp.where(last, right, t + length), t)
            return t, y, h, own + good, count + 1

        start = (jnp.full_like(y[0], left), y, h, jnp.zeros_like(y[0]), 0)
        _, y, h, own, count = jax.lax.while_loop(moving, body, start)
        return y, h, own, count

    y = tuple(jnp.asarray(value) for value in system._start(lanes.y0, parameters))
    h = jnp.full_like(y[0], 1e-3)
    iterations, own = 0, 0.0
    for left, right in zip(anchors[:-1], anchors[1:], strict=True):
        segment = int(np.searchsorted(simulation._edges, left, side="right"))
        if left in simulation._edges:
            h = jnp.minimum(h, 1e-2)
        y, h, taken, count = leg(y, h, left, right, segment)
        iterations += int(count)
        own += float(jnp.mean(taken))
    return iterations, own, np.stack([np.asarray(value) for value in y])


@dataclasses.dataclass(frozen=True)
class Point:
    """One run: its tolerance, work and errors.

    Attributes:
        tolerance: Relative tolerance of the steps [1].
        steps: Steps of every patient; their mean where each has its own.
        work: Operations [million a patient].
        error: Readouts, 90 % of the patients below [scale].
        largest: Readouts, the worst patient [scale].
        end: States at the end, 90 % of the patients below [scale].
        above: Share of the patients whose local error is above the tolerance [1].
    """

    tolerance: float
    steps: float
    work: float
    error: float
    largest: float
    end: float
    above: float


def measure(quick: bool, repetitions: int, *, folder: Path) -> Iterator[Figure]:
    """Work of each method at equal error, and of the rival; draws the diagram."""
    del repetitions
    patients = 16 if quick else 256
    factors = FACTORS[:2] if quick else FACTORS
    methods = (RODAS4,) if quick else (RODAS3, ROS4, RODAS4, RODAS5P)
    study = Study.read(Path(__file__).with_name("course.toml")).replace(dtype="float64")
    population = draw(recipe_of(study), np.arange(patients))
    lines: dict[str, list[Point]] = {}
    with jax.enable_x64(True):
        tight, arguments, options = prepared(study, RODAS4 if quick else RODAS5P)
        tight.mesh = mesh_at(tight.system, 1e-1 if quick else 1e-4, arguments, options)
        exact = march(tight, population)
        for method in methods:
            simulation, arguments, options = prepared(study, method)
            work = operations(simulation.system, simulation.lanes(population))
            for share in SHARES[method.name]:
                points = lines.setdefault(f"{method.name}, serving {share:.0%}", [])
                for factor in factors:
                    simulation.mesh = mesh_at(
                        simulation.system, factor, arguments, options | {"serve": share}
                    )
                    found = march(simulation, population)
                    above = float(np.mean(found.error > factor))
                    points.append(point(simulation, BASE * factor, work, found, exact, above))
                yield _figure(points, f"{method.name}, serving {share:.0%} of the pilot")
            if method is RODAS4:
                points = lines.setdefault(RIVAL, [])
                for factor in factors[:1] if quick else (3.0, 1.0, 0.1):
                    points.append(_rival_point(simulation, population, factor, work, exact))
                yield _figure(points, "Rodas4, a step size for each patient")
    folder.mkdir(parents=True, exist_ok=True)
    draw_diagram(lines, folder / "work_precision.png")


def march(simulation: Simulation, population: Population) -> Result:
    """The course of some patients on the simulation's mesh."""
    lanes = simulation.lanes(population)
    return simulation.system.march(
        simulation.mesh, lanes.y0, lanes.parameters, lanes.forcing, lanes.impulses
    )


def point(
    simulation: Simulation, tolerance: float, work: int, found: Result, exact: Result, above: float
) -> Point:
    """Errors of a run on a mesh."""
    scales = [readouts.READOUTS[name].scale for name, _ in readouts.columns(simulation.computed)]
    distances = np.stack(found.readouts) - np.stack(exact.readouts)
    error = (np.abs(distances) / np.array(scales)[:, None, None]).max(axis=(0, 1))
    steps = simulation.mesh.steps
    return Point(
        tolerance, steps, steps * work / 1e6, _most(error), float(error.max()),
        _most(_end_error(simulation.system, np.stack(found.y), exact)), above,
    )  # fmt: skip


def _rival_point(
    simulation: Simulation, population: Population, factor: float, work: int, exact: Result
) -> Point:
    """The rival at one tolerance; only its states at the end are known."""
    system = simulation.system
    rounds, own, last = rival(simulation, simulation.lanes(population), BASE * factor)
    everything = np.zeros((system.size, last.shape[-1]))
    everything[list(system.kept)] = last
    end = _most(_end_error(system, everything, exact))
    return Point(BASE * factor, rounds, rounds * work / 1e6, end, end, end, own / rounds)


def _end_error(system: System, states: np.ndarray, exact: Result) -> np.ndarray:
    """Largest difference of a patient's marched states at the end [scale]."""
    kept = list(system.kept)
    scale = np.array([row.scale for row in state_rows()])[kept, None]
    return (np.abs(states[kept] - np.stack(exact.y)[kept]) / scale).max(axis=0)


def _most(error: np.ndarray) -> float:
    """What 90 % of the patients are below."""
    return float(np.quantile(error, 0.9))


def _figure(points: list[Point], name: str) -> Figure:
    """Work of a method at the error where all are compared, from the two nearest runs."""
    logs = sorted((np.log(p.error), np.log(p.work)) for p in points if p.error > 0)
    errors, works = zip(*logs, strict=True)
    reached = errors[0] <= np.log(AIM) <= errors[-1]
    value = float(np.exp(np.interp(np.log(AIM), errors, works))) if reached else None
    default = min(points, key=lambda p: abs(np.log(p.tolerance / BASE)))
    return Figure(
        f"work of {name}", value, "million operations/patient",
        note=f"at an error of {AIM:g}; with tolerance {default.tolerance:g}: {default.steps} steps,"
        f" error {default.error:.1e}, worst {default.largest:.1e}, end states {default.end:.1e}",
        details={"points": [dataclasses.asdict(p) for p in points]},
    )  # fmt: skip


def draw_diagram(lines: dict[str, list[Point]], path: Path) -> None:
    """Error against work, one line a method and share; the rival's with the states at the end."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing
    from matplotlib.ticker import FixedLocator, NullLocator

    drawing = Drawing(figsize=(9.5, 4.2), layout="constrained")
    FigureCanvasAgg(drawing)
    left, right = drawing.subplots(1, 2, sharex=True)
    for label, points in lines.items():
        name = label.partition(",")[0]
        style = "--" if "80%" in label else "-"
        shown = {"color": COLOURS[name], "linestyle": style, "marker": "o", "markersize": 4}
        work = [p.work for p in points]
        if name != RIVAL:
            left.loglog(work, [p.error for p in points], label=label, **shown)
        if name in (RIVAL, "Rodas4"):
            right.loglog(work, [p.end for p in points], label=label, **shown)
    for axes, title in ((left, "Readouts at all times"), (right, "States at the end")):
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel("work [million operations a patient]")
        axes.xaxis.set_major_locator(FixedLocator([5, 10, 20, 50]))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(True, which="major", color="0.92")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    left.set_ylabel("error [scale], 90 % of the patients below")
    drawing.savefig(path, dpi=150)
