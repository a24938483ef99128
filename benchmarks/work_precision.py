"""Which method, which share of the pilot, and is one mesh better than a step size for each patient?

    python -m benchmarks.work_precision [patients]

The course in float64 with each method over tolerances from 1e-2 to 1e-5 and two shares of the pilot
that the mesh serves. Work is counted as steps times the arithmetic of one step, so that the diagram
does not depend on the load of the machine; error is the 90th percentile over patients of the
largest difference of a readout from a run at a tolerance of 1e-7, in units of its scale. The rival
gives every patient a time and a step size of its own and goes on until the last has arrived.
Writes results/work_precision.txt and results/work_precision.png.
"""

import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np

from ketjax.model import readouts
from ketjax.population import draw
from ketjax.run import recipe_of, simulation_of
from ketjax.simulate import Simulation
from ketjax.solve import RODAS3, RODAS4, RODAS5P, ROS4, Mesh, Method, System
from ketjax.solve.mesh import anchors_of
from ketjax.solve.structure import trace
from ketjax.study import Study

FOLDER = Path(__file__).parent
FACTORS = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
SHARES = (0.8, 0.98)
BASE = 1e-3
COLOURS = {"Rodas3": "C0", "Ros4": "C1", "Rodas4": "C2", "Rodas5P": "C3", "a step size each": "k"}


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
    return sum(equation.outvars[0].aval.shape == (8,) for equation in program.equations)


def rival(simulation: Simulation, lanes: Any, tolerance: float) -> tuple[float, float, np.ndarray]:
    """Every patient with a time and a step size of its own, from anchor to anchor in lockstep.

    Returns:
        Iterations until the last patient has arrived, mean number of a patient's own steps, and the
        states at the end (state, patient).
    """
    system = simulation.system
    parameters, forcing = lanes.parameters, lanes.forcing
    anchors = anchors_of(simulation._grid, simulation._edges)
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


def main() -> None:
    """Measure, print, draw."""
    patients = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    study = Study.read(FOLDER / "course.toml").replace(dtype="float64")
    population = draw(recipe_of(study), np.arange(patients))
    lines: list[str] = []

    def say(text: str) -> None:
        print(text, flush=True)
        lines.append(text)

    def course(simulation: Simulation) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        lanes = simulation._lanes(population)
        result = simulation.system.march(
            simulation.mesh, lanes.y0, lanes.parameters, lanes.forcing, lanes.impulses
        )
        return np.stack(result.readouts), np.asarray(result.error), np.stack(result.y)

    points: dict[tuple[str, float], list[tuple[float, float]]] = {}
    with jax.enable_x64(True):
        tight, arguments, options = prepared(study, RODAS5P)
        tight.mesh = mesh_at(tight.system, 1e-4, arguments, options)
        exact, _, end = course(tight)
        scale = np.array(
            [readouts.READOUTS[name].scale for name, _ in readouts.columns(tight._computed)]
        )[:, None, None]
        say(f"{patients} patients; reference {tight.mesh.steps} steps of Rodas5P")
        for method in (RODAS3, ROS4, RODAS4, RODAS5P):
            simulation, arguments, options = prepared(study, method)
            system = simulation.system
            work = operations(system, simulation._lanes(population))
            say(f"{method.name}: {method.stages} stages, {work} operations a patient and step")
            for share in SHARES:
                for factor in FACTORS:
                    simulation.mesh = mesh_at(
                        system, factor, arguments, {**options, "serve": share}
                    )
                    found, estimate, _ = course(simulation)
                    error = (np.abs(found - exact) / scale).max(axis=(0, 1))
                    points.setdefault((method.name, share), []).append(
                        (simulation.mesh.steps * work / 1e6, float(np.quantile(error, 0.9)))
                    )
                    say(
                        f"  tolerance {BASE * factor:7.0e}  share {share:4.2f}"
                        f"  steps {simulation.mesh.steps:5d}"
                        f"  error: median {np.median(error):.1e},"
                        f" 90 % {np.quantile(error, 0.9):.1e}"
                        f", most {error.max():.1e}"
                        f"  above the tolerance {np.mean(estimate > factor):6.1%}"
                    )
            if method is RODAS4:
                lanes = simulation._lanes(population)
                spread = np.array([row.scale for row in state_scales(system)])[:, None]
                for factor in (3.0, 1.0, 0.1):
                    iterations, own, last = rival(simulation, lanes, BASE * factor)
                    kept = list(system.kept)
                    error = (np.abs(last - end[kept]) / spread).max(axis=0)
                    points.setdefault(("a step size each", 1.0), []).append(
                        (iterations * work / 1e6, float(np.quantile(error, 0.9)))
                    )
                    say(
                        f"  a step size each, tolerance {BASE * factor:.0e}: {iterations} rounds"
                        f" until the last of {patients} arrives, own steps {own:.0f} on average,"
                        f" error of the end states 90 % {np.quantile(error, 0.9):.1e}"
                    )
    (FOLDER / "results" / "work_precision.txt").write_text("\n".join(lines) + "\n")
    draw_diagram(points)


def state_scales(system: System) -> list:
    """Rows of the table of states for the marched ones."""
    from ketjax.model.states import rows

    everything = rows()
    return [everything[index] for index in system.kept]


def draw_diagram(points: dict[tuple[str, float], list[tuple[float, float]]]) -> None:
    """Error against work, one line a method and share."""
    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.5, 5.0), layout="constrained")
    for (name, share), line in points.items():
        work, error = zip(*line, strict=True)
        label = name if share == 1.0 else f"{name}, serving {share:.0%} of the pilot"
        style = "-" if share > 0.9 else "--"
        axes.loglog(work, error, style, marker="o", markersize=4, color=COLOURS[name], label=label)
    axes.set_xlabel("work [million operations a patient]")
    axes.set_ylabel("error of the readouts [scale], 90 % of patients below")
    axes.set_title("Eight infusions in 28 days: work and precision")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(FOLDER / "results" / "work_precision.png", dpi=150)


if __name__ == "__main__":
    main()
