"""Candidates for the mood layer, marched on courses of the cascade, and what trials found.

Nothing in the cascade depends on the mood layer, so the cascade is simulated once without
expectancy, and each candidate marches alone on its courses. `mood_fit.py` fits and compares them.
"""

import csv
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

from ketjax.population import Recipe, draw
from ketjax.population.designs import sobol_normals
from ketjax.regimen import Dose, Regimen
from ketjax.simulate import Simulation, Treatment

HERE = Path(__file__).parent
DAY = 24.0
THRICE, EIGHT = (0, 2, 4, 7, 9, 11), (0, 3, 7, 10, 14, 17, 21, 24)
# Regimen: what is given [mg/kg in 40 min, or mg into the nose], and on which days.
REGIMENS: dict[str, tuple[float, bool, Sequence[int]]] = {
    "iv05": (0.5, True, (0,)),
    "iv02": (0.2, True, (0,)),
    "in28": (28.0, False, (0, 3)),
    "in84": (84.0, False, (0, 3)),
    "twice": (0.5, True, (0, 3, 7, 10)),
    "thrice": (0.5, True, THRICE),
    "in84x8": (84.0, False, EIGHT),
}
# Arm: regimen (empty for a sham), design, days of sessions.
ARMS: dict[str, tuple[str, str, Sequence[int]]] = {
    "x_ket": ("iv05", "crossover", (0,)),
    "x_sal": ("", "crossover", (0,)),
    "m_ket": ("iv05", "midazolam", (0,)),
    "m_mid": ("", "midazolam", (0,)),
    "m_eight": ("", "midazolam", EIGHT),
    "open": ("iv05", "open", (0,)),
    "p_ket": ("iv05", "pooled", (0,)),
    "p_02": ("iv02", "pooled", (0,)),
    "p_sal": ("", "pooled", (0,)),
    "n28": ("in28", "nasal", (0, 3)),
    "n84": ("in84", "nasal", (0, 3)),
    "npl": ("", "nasal", (0, 3)),
    "two": ("twice", "repeated", (0, 3, 7, 10)),
    "three": ("thrice", "repeated", THRICE),
    "sham": ("", "repeated", (0, 3, 7, 10)),
    "six": ("thrice", "open", THRICE),
    "esk": ("in84x8", "nasal_new", EIGHT),
    "pad": ("", "nasal_new", EIGHT),
    "oral": ("", "oral", ()),
    "ssri": ("", "ssri", ()),
}
DESIGNS = tuple(dict.fromkeys(design for _, design, _ in ARMS.values()))
TRAITS = ("wP", "wN", "wD", "wL", "wC", "wW", "Ku", "cS", "kS", "kW", "kWo", "Kw")
TRAITS += ("exg", "exc", "EA", "ES", "S0")
# Values of the first fit, which the candidates start from; a name ending in "~" is a spread (CV).
FIRST = {
    "wP": 0.443, "wN": 0.137, "wD": 0.151, "wL": 0.132, "wC": 0.4, "wW": 0.402, "Ku": 0.287,
    "nU": 2.74, "kS": 0.8, "kW": 0.00316, "kWo": 0.000754, "Kw": 0.551, "tauEF": 8.26,
    "kES": 0.00242, "phH": 0.3, "tauH": 96.0, "mu_c": 2.14, "sd_c": 2.81, "wA": 0.2, "kA": 0.01,
    "KA": 0.4, "nA": 4.0, "kAo": 0.004,
    "wP~": 0.3, "wW~": 1.26, "Ku~": 0.3, "kWo~": 1.03, "Kw~": 0.45, "exg~": 1.0, "exc~": 1.5,
    "xF midazolam": 0.05, "xF open": 0.56, "xF pooled": 0.05, "xF nasal": 0.18,
    "xF repeated": 0.1, "xF nasal_new": 0.18,
    "xT midazolam": 0.27, "xT open": 0.27, "xT pooled": 0.17, "xT nasal": 0.16,
    "xT repeated": 0.12, "xT nasal_new": 0.12,
    "xC midazolam": 0.27, "xC pooled": 0.17, "xC nasal": 0.13, "xC repeated": 0.1,
    "xC nasal_new": 0.38, "xC oral": 0.36, "xA nasal_new": 0.04, "xA ssri": 0.08,
    # The layer of fractions that multiply: acute and slow shares by design.
    "EA crossover": 0.03, "EA midazolam": 0.5, "EA open": 0.45, "EA pooled": 0.3,
    "EA nasal": 0.36, "EA repeated": 0.13, "EA nasal_new": 0.36,
    "ES crossover": 0.1, "ES midazolam": 0.35, "ES open": 0.35, "ES pooled": 0.3,
    "ES nasal": 0.38, "ES repeated": 0.23, "ES nasal_new": 0.47, "ES oral": 0.447,
    "sdEA": 2.0, "sdES": 2.0, "thXA": 24.0, "kXS": 0.002327, "kXon": 3.0, "Emono": 0.19,
    "fph": 0.65,
}  # fmt: skip
DRUG = ("wP", "wN", "wD", "wL", "wW", "nU", "kS", "kW", "kWo", "Kw", "mu_c", "sd_c")
DRUG += ("wP~", "wW~", "Ku~", "kWo~", "Kw~")
EXPECTED = ("tauEF", "kES", "exg~", *(name for name in FIRST if name.startswith("x")))
FRACTIONS = tuple(name for name in FIRST if name[:3] in ("EA ", "ES "))
FRACTIONS += ("sdEA", "sdES", "thXA", "kXS", "kXon", "Emono", "fph")
BELIEF_GAIN, ODDS, RESISTANT = 0.3, 1.5, 0.5  # gBel, told odds with midazolam, rTRD: assumed
FIXED_CV = {"wN": 0.3, "wD": 0.3, "wL": 0.35, "wC": 0.3, "kS": 0.3, "kW": 0.75}
SESSION_RATE, EXPONENT = 1.6, 4.0  # kSes [1/h], nW
ENTRY_SCORE = 33.0  # [points]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One mood layer: which terms it has, and which numbers are fitted."""

    name: str
    free: tuple[str, ...] = ()
    keep: bool = True  # a session takes nothing from what the course has built
    acute: bool = False  # the surge itself lifts mood
    slow: bool = False  # a share of symptoms needs days
    own: bool = False  # a patient's course is a trait of its own
    learned: bool = False  # relief itself is learned and kept
    product: bool = False  # fractions that multiply instead of drives that add


DRIVE = (*DRUG, *EXPECTED)
CANDIDATES = (
    Candidate("first fit", keep=False),
    Candidate("sessions keep, values of the first fit"),
    Candidate("sessions keep", DRIVE),
    Candidate("+ relief is learned", (*DRIVE, "wA", "kA", "KA", "nA", "kAo"), learned=True),
    Candidate("+ surge lifts mood", (*DRIVE, "wC"), acute=True),
    Candidate("+ slow symptoms", (*DRIVE, "wC", "phH", "tauH"), acute=True, slow=True),
    Candidate(
        "+ own course", (*DRIVE, "wC", "phH", "tauH", "exc~"), acute=True, slow=True, own=True
    ),
    Candidate("fractions", (*DRUG, *FRACTIONS, "wC"), acute=True, product=True),
)


@dataclasses.dataclass(frozen=True)
class Courses:
    """What the cascade gives to mood, (step, arm, patient), between the times (step + 1,) [h]."""

    times: np.ndarray
    inputs: dict[str, np.ndarray]
    session: np.ndarray
    traits: dict[str, np.ndarray]


def courses(patients: int) -> Courses:
    """Simulate the cascade under each regimen."""
    offsets = [0, 1 / 6, 1 / 3, 0.5, 2 / 3, 5 / 6, 1, 1.25, 1.5, 2, 3, 4, 6, 9, 12, 18]
    days = sorted({day for _, _, days in ARMS.values() for day in days})
    times = [np.arange(0, 95 * DAY + 1, 12.0), *(DAY * day + np.array(offsets) for day in days)]
    grid = np.unique(np.round(np.concatenate(times), 6))
    names = ("potentiation", "synapse_gain", "synapse_density", "network_excess", "habenula")
    names += ("calcium", "dissociation")
    simulation = Simulation(
        Recipe(seed=3, design="sobol"),
        {name: Treatment(_regimen(*given)) for name, given in REGIMENS.items()},
        list(grid),
        names=names,
    )
    population = draw(simulation.recipe, np.arange(patients))
    solution = simulation.solve(population)
    read = {name: np.moveaxis(values, 0, 1) for name, values in solution.readouts.items()}
    weight = population.parameters.hippocampus.prefrontal_weight

    def both(values: np.ndarray) -> np.ndarray:
        return weight * values[0] + (1 - weight) * values[1]

    regional = {name: np.moveaxis(solution.readouts[name], 1, 0) for name in names[:3] + names[5:6]}
    resting = regional["synapse_density"] / (1 + regional["synapse_gain"])
    width = population.parameters.synapses.deficit_floor
    restored = both(regional["synapse_gain"] * resting / np.hypot(1 - resting, width))
    series = {
        "P": both(regional["potentiation"]),
        "N": restored / (1 + np.abs(restored) / 2),
        "C": both(regional["calcium"]),
        "D": 1 - np.moveaxis(read["network_excess"], 0, 1),
        "L": 1 - np.moveaxis(read["habenula"], 0, 1),
        "CADSS": np.moveaxis(read["dissociation"], 0, 1),
    }
    middles = (grid[1:] + grid[:-1]) / 2
    inputs = {}
    for name, values in series.items():
        arms = [
            values[list(REGIMENS).index(regimen)] if regimen else np.zeros(values.shape[1:])
            for regimen, _, _ in ARMS.values()
        ]
        stacked = np.stack(arms, axis=1)
        inputs[name] = (stacked[1:] + stacked[:-1]) / 2
    session = [
        np.any([(middles > DAY * day) & (middles < DAY * day + 1) for day in days], axis=0)
        if days
        else np.zeros(middles.shape, bool)
        for _, _, days in ARMS.values()
    ]
    z = sobol_normals(11, TRAITS, np.arange(patients))
    return Courses(
        grid, inputs, np.stack(session, axis=1).astype(float), dict(zip(TRAITS, z, strict=True))
    )


def _regimen(amount: float, per_kg: bool, days: Sequence[int]) -> Regimen:
    route, duration = ("intravenous", 2 / 3) if per_kg else ("intranasal", 0.0)
    drug = "ketamine" if per_kg else "esketamine"
    return Regimen(tuple(Dose(drug, route, amount, per_kg, DAY * day, duration) for day in days))


def _hill(u, half, exponent):  # noqa: ANN001, ANN202
    z = jnp.exp(exponent / 2 * jnp.log((u / half) ** 2 + 1e-12))
    return z / (1 + z)


def _toward(value, target, rate, step):  # noqa: ANN001, ANN202
    """Exact step of value' = rate (target - value)."""
    return target + (value - target) * jnp.exp(-rate * step)


def march(p: Mapping[str, jax.Array], c: Candidate, data: Courses) -> jax.Array:
    """Score as a share of the baseline, (time, arm, patient)."""
    z = data.traits

    def trait(name: str) -> jax.Array:
        cv = FIXED_CV[name] if name in FIXED_CV else p[f"{name}~"]
        return p.get(name, 1.0) * jnp.exp(jnp.sqrt(jnp.log1p(cv**2)) * z[name])

    def level(kind: str) -> jax.Array:
        names = {"ssri": "oral"} if kind in ("xC", "ES") else {}
        values = [p.get(f"{kind} {names.get(d, d)}", 0.0) for _, d, _ in ARMS.values()]
        return jnp.stack([jnp.asarray(value, float) for value in values])[:, None]

    def share(kind: str) -> jax.Array:
        other = z["EA"] if kind == "EA" else 0.5 * z["EA"] + math.sqrt(0.75) * z["ES"]
        centre = level(kind)
        logit = jnp.log(jnp.clip(centre, 1e-9, 1) / (1 - centre))
        return jnp.where(centre > 0, jax.nn.sigmoid(logit + p[f"sd{kind}"] * other), 0.0)

    own = {name: trait(name) for name in ("wP", "wN", "wD", "wL", "wC", "wW", "Ku", "kS", "kW")}
    own |= {name: trait(name) for name in ("kWo", "Kw", "exg")}
    improvable = jax.nn.sigmoid(p["mu_c"] + p["sd_c"] * z["cS"])
    course = own["exg"]
    if c.own:
        mixed = 0.5 * z["exg"] + math.sqrt(0.75) * z["exc"]
        course = jnp.exp(jnp.sqrt(jnp.log1p(p["exc~"] ** 2)) * mixed)
    designs = [design for _, design, _ in ARMS.values()]
    is_open = jnp.array([design == "open" for design in designs])[:, None]
    told = jnp.array([math.log(ODDS) * (design == "midazolam") for design in designs])[:, None]
    sedated = jnp.array(
        [{"m_mid": 1.0, "m_eight": 1.0, "m_ket": 0.5}.get(arm, 0.0) for arm in ARMS]
    )[:, None]
    treated = {"ssri": 1.0, "nasal_new": RESISTANT}
    monoamine = p["Emono"] * jnp.array([treated.get(design, 0.0) for design in designs])[:, None]
    if c.product:
        acute_share, slow_share = share("EA"), share("ES")
    else:
        fast, lift, run, drug = level("xF"), level("xT"), level("xC"), level("xA")

    def step(state, given):  # noqa: ANN001, ANN202
        w, fast_level, slow_level, drug_level, kept, lag, score = state
        x, dt, ses = given
        ses = ses[:, None]
        gain = sum(own[f"w{name}"] * x[name] for name in "PNDL") + own["wW"] * w
        rise = own["kW"] * _hill(gain, own["Kw"], EXPONENT)
        w = _toward(w, rise / (rise + own["kWo"]), rise + own["kWo"], dt)
        drive = gain + (own["wC"] * x["C"] if c.acute else 0.0)
        if c.product:
            cue = 1.6 * x["CADSS"] / (x["CADSS"] + 3.0) + sedated - 1.1
            kept = kept + jnp.where(is_open, 0.0, dt * ses * cue)
            belief = jnp.where(is_open, 1.0, jax.nn.sigmoid(told + kept))
            on, off = p["kXon"] * ses, math.log(2) / p["thXA"] * (1 - ses)
            held = on * acute_share * (1 + BELIEF_GAIN * (2 * belief - 1)) / (on + off)
            fast_level = _toward(fast_level, held, on + off, dt)
            slow_level = _toward(slow_level, slow_share, p["kXS"], dt)
            drug_level = _toward(drug_level, monoamine, 0.241 / 168, dt)
            relief = p["fph"] * improvable * _hill(drive, own["Ku"], p["nU"])
            left = (1 - jnp.clip(fast_level, 0, 1)) * (1 - slow_level) * (1 - drug_level)
            target = (1 - relief) * left
        else:
            rate = 1 / p["tauEF"]
            fast_level = _toward(fast_level, own["exg"] * fast * ses / rate, rate, dt)
            on = SESSION_RATE * ses
            if c.keep:
                on = on * (own["exg"] * lift > slow_level)
            held = (on * own["exg"] * lift + p["kES"] * course * run) / (on + p["kES"])
            slow_level = _toward(slow_level, held, on + p["kES"], dt)
            drug_level = _toward(drug_level, drug, p["kES"], dt)
            drive = drive + fast_level + slow_level + drug_level
            if c.learned:
                rise = p["kA"] * _hill(1 - score, p["KA"], p["nA"])
                kept = _toward(kept, rise / (rise + p["kAo"]), rise + p["kAo"], dt)
                drive = drive + p["wA"] * kept
            relief = _hill(drive, own["Ku"], p["nU"])
            if c.slow:
                lag = _toward(lag, relief, 1 / p["tauH"], dt)
                relief = relief + p["phH"] * (lag - relief)
            target = 1 - improvable * relief
        score = _toward(score, target, own["kS"], dt)
        return (w, fast_level, slow_level, drug_level, kept, lag, score), score

    zero = jnp.zeros(data.inputs["P"].shape[1:])
    given = (data.inputs, np.diff(data.times), data.session)
    scores = jax.lax.scan(step, (zero,) * 6 + (zero + 1,), jax.tree.map(jnp.asarray, given))[1]
    return jnp.concatenate([jnp.ones((1, *zero.shape)), scores])


@dataclasses.dataclass(frozen=True)
class Target:
    """A published number: what, of which arm, when, in points of which baseline, with its error."""

    design: str
    arm: str
    statistic: str
    hours: float
    baseline: float
    target: float
    error: float
    source: str


def targets() -> list[Target]:
    """The published numbers."""
    with (HERE / "mood_targets.csv").open(encoding="utf-8") as file:
        return [
            Target(
                row["design"],
                row["arm"],
                row["statistic"],
                float(row["hours"]),
                float(row["baseline"] or ENTRY_SCORE),
                float(row["target"]),
                float(row["error"]),
                row["source"],
            )
            for row in csv.DictReader(file)
        ]


def measured(course: jax.Array, row: Target, data: Courses) -> jax.Array:
    """What a candidate makes of a target; rated scores have the error of days and raters."""
    baseline = ENTRY_SCORE + 4 * data.traits["S0"]

    def at(hours: float) -> int:
        return int(np.abs(data.times - hours).argmin())

    def points(arm: str, hours: float) -> jax.Array:
        return course[at(hours), list(ARMS).index(arm)] * baseline

    def error(score: jax.Array) -> jax.Array:
        m = jnp.clip(score / 60, 0.005, 0.995)
        return jnp.sqrt(3600 * m * (1 - m) / 152 + 9 * 4 * m * (1 - m))

    def halved(hours: float) -> jax.Array:
        score = points(row.arm, hours)
        return norm.cdf((0.5 * baseline - score) / error(score))

    def spread(arm: str) -> jax.Array:
        score = points(arm, row.hours)
        return jnp.var(score - baseline) + (error(score) ** 2).mean()

    def change(arm: str) -> jax.Array:
        return -row.baseline * (1 - points(arm, row.hours) / baseline).mean()

    def alive(start: float, days: int, lost: Callable[[jax.Array], jax.Array]) -> jax.Array:
        weight = norm.cdf(0.5 * baseline - points(row.arm, start))
        each = jnp.stack([lost(points(row.arm, start + DAY * k)) for k in range(1, days + 1)])
        return (jax.lax.associative_scan(jnp.minimum, each) * weight).sum(1) / weight.sum()

    def with_gain(score: jax.Array) -> jax.Array:
        return jax.nn.sigmoid((0.75 - score / baseline) / 0.02)

    match row.statistic:
        case "change":
            return change(row.arm)
        case "SD of change":
            return jnp.sqrt(spread(row.arm))
        case "response":
            return 100 * halved(row.hours).mean()
        case "remission":
            score = points(row.arm, row.hours)
            return 100 * norm.cdf((10.5 - score) / error(score)).mean()
        case "sustained response":
            days = jnp.stack([halved(DAY * k) for k in (1, 2, 3, 4)])
            missed = 1 - days
            once = sum(days[k] * jnp.prod(jnp.delete(missed, k, axis=0), axis=0) for k in range(4))
            return 100 * (1 - jnp.prod(missed, axis=0) - once).mean()
        case "effect size":
            both = (spread("x_ket") + spread("x_sal")) / 2
            gap = points("x_sal", row.hours) - points("x_ket", row.hours)
            return gap.mean() / jnp.sqrt(both)
        case "difference of changes":
            return change("esk") - change("pad")
        case "well with a quarter of the gain":
            return 100 * alive(24, 28, with_gain)[-1]
        case "days well with a quarter of the gain":
            return alive(24, 28, with_gain).sum() + 0.5
        case "well below 20":
            days = round((row.hours - 288) / DAY)
            return 100 * alive(288, days, lambda score: jax.nn.sigmoid((20 - score) / 0.6))[-1]
    raise ValueError(row.statistic)
