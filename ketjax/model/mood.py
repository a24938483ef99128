"""From plasticity, network, habenula and expectancy to the depression score, and dissociation.

One saturating map turns the sum of all influences, the mood drive, into relief; most symptoms
follow it within the hour, the rest within days. Owns `consolidation`, `fast_expectancy`,
`session_expectancy`, `antidepressant`, `slow_relief`, `score` and `dissociation_tolerance`.
"""

import jax.numpy as jnp

from ketjax.model.parameters import (
    Consolidation,
    Dissociation,
    Expectancy,
    Leaf,
    Score,
    Smoothing,
    TrialDesign,
)
from ketjax.model.smooth import hill


def plasticity_gain(
    potentiation: Leaf, restored: Leaf, network: Leaf, habenula: Leaf, consolidation: Leaf, p: Score
) -> Leaf:
    """Sum of the drug's influences on mood.

    Equation:
        u = wPs P + wNs r/(1 + |r|/2) + wDs (1 - D) + wLs (1 - L) + wWs W

    Args:
        potentiation: P [1].
        restored: r/(1 + |r|/2), saturated share of restored synapses [1].
        network: D [1].
        habenula: L [1].
        consolidation: W [1].
        p: Score, weights [1].

    Returns:
        u [1].

    Source:
        TargetProfiles: weights.
    """
    return (
        p.weight_potentiation * potentiation
        + p.weight_synapses * restored
        + p.weight_network * (1 - network)
        + p.weight_habenula * (1 - habenula)
        + p.weight_consolidation * consolidation
    )


def consolidation_rate(
    consolidation: Leaf,
    gain: Leaf,
    potentiation: Leaf,
    practice: Leaf,
    p: Consolidation,
    smoothing: Smoothing,
) -> Leaf:
    """Rate of change of consolidation: slow, use-dependent, self-sustaining when strong.

    Equation:
        W' = kW hill(u, Kw, nW)(1 + g P)(1 - W) - kWo W,  g = gPrS Prac

    Args:
        consolidation: W [1].
        gain: u, plasticity gain [1].
        potentiation: P [1].
        practice: g, effect of practice [1].
        p: Consolidation, kW, kWo [1/h], Kw, nW [1].
        smoothing: Floor of the Hill function [1].

    Returns:
        W' [1/h].

    Source:
        Murrough2013b: a durable fraction after six infusions. Ibrahim2012: falling hazard.
    """
    driven = hill(gain, p.half_drive, p.exponent, smoothing) * (1 + practice * potentiation)
    return (
        p.consolidation_rate * driven * (1 - consolidation)
        - p.consolidation_loss_rate * consolidation
    )


def fast_expectancy_rate(
    expectancy: Leaf, session: Leaf, design: TrialDesign, p: Expectancy
) -> Leaf:
    """Rate of change of fast expectancy.

    Equation:
        EF' = exg xF ses - EF/tauEF

    Args:
        expectancy: EF [1].
        session: ses, 1 during a dosing session, sham included [1].
        design: TrialDesign, xF [1/h].
        p: Expectancy, exg [1], tauEF [h].

    Returns:
        EF' [1/h].

    Source:
        Daly2018: the placebo fall at 2 h fades by 24 h.
    """
    return p.gain * design.fast * session - expectancy / p.decay_time


def session_expectancy_rate(
    expectancy: Leaf, session: Leaf, design: TrialDesign, p: Expectancy
) -> Leaf:
    """Rate of change of session and course expectancy.

    Equation:
        ES' = kSes ses max(0, exg xT - ES) + kES (exc xC - ES)

    A session lifts expectancy toward its own level and takes nothing that the course has built. The
    level is approached, never crossed, so that the kink costs no steps.

    Args:
        expectancy: ES [1].
        session: ses, 1 during a dosing session, sham included [1].
        design: TrialDesign, xT, xC [1].
        p: Expectancy, exg, exc [1], kSes, kES [1/h].

    Returns:
        ES' [1/h].

    Source:
        Posternak2005: course of placebo arms. TransformTrials: placebo arms with eight sham
        sessions fall as far as oral trials. Loo2023: eight of midazolam alone build nothing up.
    """
    missing = p.gain * design.session - expectancy
    lift = jnp.where(missing > 0, missing, 0.0)
    course = p.course_gain * design.course - expectancy
    return p.session_approach * session * lift + p.course_rate * course


def antidepressant_rate(level: Leaf, design: TrialDesign, p: Expectancy) -> Leaf:
    """Rate of change of the effect of a daily monoaminergic antidepressant.

    Equation:
        AD' = kES (xAD - AD)

    Args:
        level: AD [1].
        design: TrialDesign, xAD [1].
        p: Expectancy, kES [1/h].

    Returns:
        AD' [1/h].

    Source:
        Taylor2006: a third of the six-week difference arrives in week 1.
    """
    return p.course_rate * (design.antidepressant - level)


def relief(drive: Leaf, p: Score, smoothing: Smoothing) -> Leaf:
    """Relief that a mood drive brings in the end, of all that can improve.

    Equation:
        h = hill(v, Ku, nU)

    Args:
        drive: v, mood drive [1].
        p: Score, Ku, nU [1].
        smoothing: Floor of the Hill function [1].

    Returns:
        h [1].

    Source:
        TargetProfiles: shape of the map.
    """
    return hill(drive, p.half_effect_drive, p.drive_exponent, smoothing)


def slow_relief_rate(slow: Leaf, relieved: Leaf, p: Score) -> Leaf:
    """Rate of change of the relief of those symptoms that need days.

    Equation:
        H' = (h - H)/tauH

    Args:
        slow: H [1].
        relieved: h, relief in the end [1].
        p: Score, tauH [h].

    Returns:
        H' [1/h].

    Source:
        Han2016: remission rises through the first week while response falls. Which symptoms are
        slow is not resolved.
    """
    return (relieved - slow) / p.slow_time


def score_rate(score: Leaf, relieved: Leaf, slow: Leaf, untouched: Leaf, p: Score) -> Leaf:
    """Rate of change of the depression score.

    Equation:
        S' = kS (S0 (1 - cS ((1 - phH) h + phH H))(1 - UL) - S)

    Args:
        score: S [points].
        relieved: h, relief in the end [1].
        slow: H, relief of the slow symptoms [1].
        untouched: 1 - UL, share that learning leaves [1].
        p: Score, kS [1/h], S0 [points], cS, phH [1].

    Returns:
        S' [points/h].

    Source:
        TargetProfiles: rate and shares.
    """
    effect = relieved + p.slow_share * (slow - relieved)
    return p.score_rate * (p.baseline * (1 - p.improvable_share * effect) * untouched - score)


def dissociation(site: Leaf, tolerance: Leaf, p: Dissociation) -> Leaf:
    """Dissociation on the CADSS.

    Equation:
        Lds = gDs (1 - TolD) ((CeD^2 + eC^2)^(nD/2) - eC^nD)/CrD^nD;  CADSS = Cmax Lds/(Cmax + Lds)

    Args:
        site: CeD, effect-site concentration in S-equivalents [ng/mL].
        tolerance: TolD [1].
        p: Dissociation, gDs, Cmax [points], eC, CrD [ng/mL], nD [1].

    Returns:
        CADSS [points].

    Source:
        ClinicalSummary: 12 points at 40 min of 0.5 mg/kg (low confidence). Glue2018: 1 mg/kg.
    """
    floor = p.concentration_floor
    half = p.exponent / 2
    power = ((site * site + floor * floor) / p.reference_concentration**2) ** half
    rest = (floor / p.reference_concentration) ** p.exponent
    load = p.gain * (1 - tolerance) * (power - rest)
    return p.scale_maximum * load / (p.scale_maximum + load)


def drug_high(site: Leaf, p: Dissociation) -> Leaf:
    """Drug high on a scale of 0 to 10.

    Equation:
        High = Hmax CeD/(CeD + ChH)

    Args:
        site: CeD, effect-site concentration in S-equivalents [ng/mL].
        p: Dissociation, Hmax [points], ChH [ng/mL].

    Returns:
        High [points].

    Source:
        Simons2022: half concentration.
    """
    return p.high_maximum * site / (site + p.high_half_concentration)


def tolerance_rate(tolerance: Leaf, cadss: Leaf, p: Dissociation) -> Leaf:
    """Rate of change of tolerance to dissociation.

    Equation:
        TolD' = gTol CADSS (1 - TolD) - kTol TolD

    Args:
        tolerance: TolD [1].
        cadss: CADSS [points].
        p: Dissociation, gTol [1/(point h)], kTol [1/h].

    Returns:
        TolD' [1/h].

    Source:
        Glue2018: 20 to 8.8 points from week 1 to week 14.
    """
    return p.tolerance_gain * cadss * (1 - tolerance) - p.tolerance_loss_rate * tolerance
