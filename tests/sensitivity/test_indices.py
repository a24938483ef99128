"""Indices against closed forms and, output by output, against SALib."""

import numpy as np
import pytest
from SALib.analyze import dgsm as salib_dgsm
from SALib.analyze import morris as salib_morris
from SALib.analyze import sobol as salib_sobol
from SALib.sample import sobol as salib_sample

from ketjax.sensitivity import designs, screening, sobol

A, B = 7.0, 0.1  # of the Ishigami function
G = np.array([0.0, 1.0, 4.5, 9.0, 99.0, 99.0])  # of the Sobol-G function


def ishigami(cube: np.ndarray) -> np.ndarray:
    x = (2 * cube - 1) * np.pi
    return np.sin(x[:, 0]) + A * np.sin(x[:, 1]) ** 2 + B * x[:, 2] ** 4 * np.sin(x[:, 0])


def g_function(cube: np.ndarray) -> np.ndarray:
    return np.prod((np.abs(4 * cube - 2) + G) / (1 + G), axis=1)


def exact_ishigami() -> tuple[np.ndarray, np.ndarray, float]:
    """First and total indices and the interaction of the first with the third."""
    first = np.array([0.5 * (1 + B * np.pi**4 / 5) ** 2, A**2 / 8, 0.0])
    joint = 8 * B**2 * np.pi**8 / 225
    variance = first.sum() + joint
    total = first + np.array([joint, 0.0, joint])
    return first / variance, total / variance, joint / variance


def exact_g() -> tuple[np.ndarray, np.ndarray]:
    own = 1 / (3 * (1 + G) ** 2)
    variance = np.prod(1 + own) - 1
    return own / variance, own * np.prod(1 + own) / (1 + own) / variance


def outputs(function, factors: int, samples: int, seed: int = 1, second_order: bool = False):
    design = designs.Saltelli.of(samples, factors, seed, second_order=second_order)
    return function(design.cube(np.arange(design.rows)))[None]


@pytest.mark.parametrize("second_order", [False, True])
@pytest.mark.parametrize("name", ["ishigami", "g"])
def test_closed_forms_within_monte_carlo_error(name: str, second_order: bool) -> None:
    """Errors lie within 4 standard errors of random sampling, 4096 base samples."""
    function, factors = {"ishigami": (ishigami, 3), "g": (g_function, 6)}[name]
    first, total = (exact_ishigami()[:2], exact_g())[name == "g"]
    found = sobol.indices(
        outputs(function, factors, 4096, second_order=second_order),
        factors,
        second_order=second_order,
    )
    assert np.all(np.abs(found.first[0] - first) < 4 * found.first_error[0] + 1e-4)
    assert np.all(np.abs(found.total[0] - total) < 4 * found.total_error[0] + 1e-4)
    # The error itself is that of theory: it falls with the root of the number of samples.
    assert found.total_error.max() < 1.5 / np.sqrt(4096)


def test_second_order_of_ishigami() -> None:
    y = outputs(ishigami, 3, 4096, second_order=True)
    found = sobol.indices(y, 3, second_order=True)
    assert found.second is not None and found.second_error is not None
    exact = np.array([0.0, exact_ishigami()[2], 0.0])
    pairs = np.triu_indices(3, 1)
    assert np.all(np.abs(found.second[0][pairs] - exact) < 4 * found.second_error[0][pairs])


@pytest.mark.parametrize("second_order", [False, True])
def test_sobol_agrees_with_salib_output_by_output(second_order: bool) -> None:
    factors, random = 6, np.random.default_rng(0)
    problem = {"num_vars": factors, "names": list("abcdef"), "bounds": [[0, 1]] * factors}
    cube = salib_sample.sample(problem, 256, calc_second_order=second_order, seed=3)
    y = np.stack([g_function(cube) + k * cube @ random.normal(size=factors) for k in range(5)])
    found = sobol.indices(y, factors, second_order=second_order, symmetric=False, resamples=1000)
    for k, one in enumerate(y):
        salib = salib_sobol.analyze(
            problem, one, calc_second_order=second_order, num_resamples=1000, seed=1
        )
        np.testing.assert_allclose(found.first[k], salib["S1"], atol=1e-12)
        np.testing.assert_allclose(found.total[k], salib["ST"], atol=1e-12)
        # Both bootstraps have 1000 resamples of their own: 2 x 2.2 % of their SDs, 4 times over.
        np.testing.assert_allclose(1.96 * found.first_error[k], salib["S1_conf"], rtol=0.13)
        np.testing.assert_allclose(1.96 * found.total_error[k], salib["ST_conf"], rtol=0.13)
        if found.second is not None:
            upper = np.triu_indices(factors, 1)
            np.testing.assert_allclose(found.second[k][upper], salib["S2"][upper], atol=1e-12)


@pytest.mark.parametrize("second_order", [False, True])
def test_design_is_in_the_order_of_salib(second_order: bool) -> None:
    """SALib mixes the columns of its own base points in the same way."""
    problem = {"num_vars": 3, "names": list("abc"), "bounds": [[0, 1]] * 3}
    theirs = salib_sample.sample(problem, 8, calc_second_order=second_order, seed=3)
    group = 8 if second_order else 5
    design = designs.Saltelli(theirs[::group], theirs[group - 1 :: group], second_order)
    np.testing.assert_array_equal(design.cube(np.arange(design.rows)), theirs)
    np.testing.assert_array_equal(design.cube(np.array([7, 3])), theirs[[7, 3]])


def test_morris_agrees_with_salib() -> None:
    points = designs.trajectories(50, 3, 4, 1)
    step = np.abs(np.diff(points, axis=1))
    assert np.all((step > 0).sum(axis=2) == 1) and np.allclose(step.max(axis=2), 2 / 3)
    assert np.all((step > 0).sum(axis=1) == 1)
    assert points.min() == 0 and points.max() == 1
    y = np.stack([ishigami(points.reshape(-1, 3)), points.reshape(-1, 3) @ [1.0, -2.0, 0.0]])
    found = screening.morris(y, points, resamples=1000)
    problem = {"num_vars": 3, "names": list("abc"), "bounds": [[0, 1]] * 3}
    for k, one in enumerate(y):
        salib = salib_morris.analyze(problem, points.reshape(-1, 3), one, num_levels=4)
        for name in ("mu", "mu_star", "sigma"):
            np.testing.assert_allclose(getattr(found, name)[k], salib[name], atol=1e-12)
    salib = salib_morris.analyze(  # its usual 100 unseeded resamples differ by 15 %
        problem, points.reshape(-1, 3), y[0], num_levels=4, num_resamples=2000, seed=1
    )
    error, theirs = 1.96 * found.mu_star_error[0], np.asarray(salib["mu_star_conf"], float)
    np.testing.assert_allclose(error[[0, 2]], theirs[[0, 2]], rtol=0.13)
    np.testing.assert_allclose(found.mu_star[1], [1.0, 2.0, 0.0], atol=1e-12)


def test_partial_correlations_are_those_of_residuals() -> None:
    """Correlation of what regressions on all other ranks leave, factor by factor."""
    from scipy.stats import rankdata

    points = designs.latin_hypercube(200, 4, 1)
    y = np.stack([np.exp(points @ [1.0, 2.0, 0.0, -1.0]), g_function(np.tile(points, 2)[:, :6])])
    found = screening.partial_rank_correlations(y, points)
    ranks = rankdata(points, axis=0)
    for k, one in enumerate(y):
        for i in range(4):
            others = np.column_stack([np.ones(200), np.delete(ranks, i, axis=1)])

            def left(values: np.ndarray, others: np.ndarray = others) -> np.ndarray:
                return values - others @ np.linalg.lstsq(others, values)[0]

            expected = np.corrcoef(left(ranks[:, i]), left(rankdata(one)))[0, 1]
            assert found.prcc[k, i] == pytest.approx(expected, abs=1e-10)
    assert np.all((found.low < found.prcc) & (found.prcc < found.high))
    assert found.low[0, 2] < 0 < found.high[0, 2]
    # Some resamples of so few hold fewer samples than a regression on six factors needs.
    points = designs.latin_hypercube(16, 6, 1)
    scarce = screening.partial_rank_correlations(points[None, :, 0] + points[None, :, 1], points)
    assert np.all(scarce.reason == 0) and np.all(scarce.low <= scarce.prcc)
    points = designs.latin_hypercube(200, 4, 1)
    few = screening.partial_rank_correlations(y[:, :11], points[:11])
    assert np.all(few.reason == sobol.FAILED) and np.all(np.isnan(few.prcc))


def test_intervals_of_partial_correlations_are_those_of_normal_numbers() -> None:
    """Where all is normal the bootstrap says what Fisher's transform does, and both cover."""
    random = np.random.default_rng(3)
    widths, hits, trials = [], 0, 60
    for _ in range(trials):
        points = random.standard_normal((300, 3))
        y = 0.5 * points[:, 0] + random.standard_normal(300)
        found = screening.partial_rank_correlations(y[None], points)
        ends = np.arctanh(np.array([found.low[0], found.high[0]]))
        widths.append((ends[1] - ends[0]) / 2)
        # Of ranks: Pearson's 0.5/sqrt(1.25), by Spearman's 6/pi asin(r/2) where nothing else acts.
        truth = 6 / np.pi * np.arcsin(0.5 / np.sqrt(1.25) / 2)
        hits += int(found.low[0, 0] < truth < found.high[0, 0])
    fisher = 1.96 / np.sqrt(300 - 3 - 2)
    np.testing.assert_allclose(np.mean(widths, axis=0), fisher, rtol=0.1)
    assert hits >= 0.95 * trials - 2 * np.sqrt(trials * 0.95 * 0.05)


def test_derivative_bound_holds_and_is_that_of_salib() -> None:
    first, total, _ = exact_ishigami()
    cube = designs.sobol_points(4096, 3, 1)
    x = (2 * cube - 1) * np.pi
    slope = np.stack(
        [
            np.cos(x[:, 0]) * (1 + B * x[:, 2] ** 4),
            2 * A * np.sin(x[:, 1]) * np.cos(x[:, 1]),
            4 * B * x[:, 2] ** 3 * np.sin(x[:, 0]),
        ]
    )
    variance = A**2 / 8 + B * np.pi**4 / 5 + B**2 * np.pi**8 / 18 + 0.5
    # Sums of parts are those of the whole.
    slopes = screening.SquaredSlopes.of(2 * np.pi * slope[None, :, :1000])
    slopes = slopes + screening.SquaredSlopes.of(2 * np.pi * slope[None, :, 1000:])
    found = screening.derivative_based(slopes, np.array([variance]))
    assert np.all(found.bound[0] > total)
    # Closed form of E[(df/dx_2)^2] = A^2/2 over x, of Sobol and Kucherenko 2009.
    exact = (2 * np.pi) ** 2 * A**2 / 2 / np.pi**2 / variance
    assert found.bound[0, 1] == pytest.approx(exact, abs=4 * found.bound_error[0, 1])
    problem = {"num_vars": 3, "names": list("abc"), "bounds": [[0, 1]] * 3}
    delta = 1e-6
    near = np.repeat(cube, 4, axis=0)
    near[np.arange(len(near)) % 4 > 0, np.tile([0, 1, 2], 4096)] += delta
    salib = salib_dgsm.analyze(problem, near, ishigami(near), num_resamples=10)
    sampled = screening.derivative_based(slopes, np.array([float(np.var(ishigami(cube)))]))
    np.testing.assert_allclose(sampled.mean_square[0], salib["vi"], rtol=1e-3)
    np.testing.assert_allclose(sampled.bound[0], salib["dgsm"], rtol=1e-3)


def test_rows_of_both_kinds_say_more() -> None:
    """Averaged estimates have a smaller error than those of SALib from the same rows."""
    first, total = exact_g()
    errors = {}
    for symmetric in (False, True):
        squares = []
        for seed in range(30):
            y = outputs(g_function, 6, 64, seed, second_order=True)
            found = sobol.indices(y, 6, second_order=True, symmetric=symmetric, resamples=0)
            squares.append((found.total[0] - total) ** 2 + (found.first[0] - first) ** 2)
        errors[symmetric] = np.mean(squares)
    assert errors[True] < 0.8 * errors[False]


def test_constant_outputs_have_no_index() -> None:
    varies = outputs(ishigami, 3, 64)[0]
    noise = 1e-16 * np.random.default_rng(0).normal(size=varies.size)
    y = np.stack([varies, np.full(varies.size, 3.0), 3.0 + noise, np.zeros(varies.size)])
    found = sobol.indices(y, 3)
    assert found.reason.tolist() == [0, sobol.CONSTANT, sobol.CONSTANT, sobol.CONSTANT]
    assert np.isnan(found.first[1:]).all() and np.isfinite(found.total[0]).all()
    assert np.all(found.variance[1:] == 0) and found.mean[1] == 3.0
    samples = designs.latin_hypercube(200, 3, 1)
    assert screening.partial_rank_correlations(y[:, :200], samples).reason[1] == 1
    points = designs.trajectories(16, 3, 4, 1)
    assert screening.morris(y[:, :64], points).reason.tolist() == [0, 1, 1, 1]


def test_failed_rows_take_their_base_sample_with_them() -> None:
    y = np.repeat(outputs(ishigami, 3, 64), 3, axis=0)
    y[1, [7, 8, 100]] = np.nan  # base samples 1 and 20
    y[2, ::20] = np.nan  # every fourth base sample
    found = sobol.indices(y, 3, max_failed_share=0.05)
    assert found.groups.tolist() == [64, 62, 48]
    assert found.reason.tolist() == [0, 0, sobol.FAILED]
    kept = np.delete(y[1].reshape(64, 5), [1, 20], axis=0).reshape(1, -1)
    alone = sobol.indices(kept, 3)
    np.testing.assert_array_equal(found.total[1], alone.total[0])
    np.testing.assert_array_equal(found.total_error[1], alone.total_error[0])
    points = designs.trajectories(16, 3, 4, 1)
    some = ishigami(points.reshape(-1, 3))[None].repeat(2, axis=0)
    some[1, 5] = np.nan
    lost = screening.morris(some, points, max_failed_share=0.1)
    assert lost.groups.tolist() == [16, 15] and lost.reason.tolist() == [0, 0]
    np.testing.assert_allclose(
        lost.mu[1], screening.morris(some[:1, np.r_[0:4, 8:64]], points[np.r_[0, 2:16]]).mu[0]
    )


def test_bootstrap_intervals_cover() -> None:
    """Random base samples: 95 % intervals hold the truth in 200 designs but for luck."""
    first, total = exact_g()
    random, inside = np.random.default_rng(1), []
    for _ in range(200):
        a, b = random.random((2, 256, 6))
        design = designs.Saltelli(a, b, False)
        y = g_function(design.cube(np.arange(design.rows)))[None]
        found = sobol.indices(y, 6, resamples=100)
        inside.append(np.abs(found.total[0] - total) < 1.96 * found.total_error[0])
    share = np.mean(inside, axis=0)
    assert np.all(share[:4] > 0.88) and np.all(share[:4] < 0.995)


def test_nested_designs() -> None:
    assert designs.nested(1024) == (128, 256, 512, 1024)
    assert designs.nested(16) == (8, 16)
    whole = designs.Saltelli.of(64, 3, 1, second_order=False)
    half = designs.Saltelli.of(32, 3, 1, second_order=False)
    np.testing.assert_array_equal(whole.a[:32], half.a)
    assert [designs.power_of_two(n) for n in (1, 2, 3, 1000, 1024)] == [1, 2, 4, 1024, 1024]
    assert np.array_equal(
        designs.one_at_a_time(2, np.array([0.5, 0.4]), 0.0, 1.0),
        [[0.5, 0.4], [0.0, 0.4], [0.5, 0.0], [1.0, 0.4], [0.5, 1.0]],
    )
