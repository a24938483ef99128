"""What acts on the patient from outside, constant between events.

Rates are in umol/h of one enantiomer. A channel that a study never uses stays the Python number 0,
so that the solver sees that nothing can come from it.
"""

from ketjax.model.gates import UNTOUCHED
from ketjax.model.parameters import Gates, Leaf, TrialDesign, group


@group
class DrugInput:
    """Delivery of one enantiomer by channel [umol/h]; as an impulse the same in [umol]."""

    intravenous: Leaf = 0.0
    nasal: Leaf = 0.0
    nasal_later: Leaf = 0.0
    swallowed_nasal: Leaf = 0.0
    swallowed_nasal_later: Leaf = 0.0
    oral: Leaf = 0.0
    sublingual: Leaf = 0.0
    swallowed_sublingual: Leaf = 0.0
    intramuscular: Leaf = 0.0
    subcutaneous: Leaf = 0.0
    intraperitoneal: Leaf = 0.0


@group
class Inputs:
    """All inputs of the cascade between two events."""

    s_ketamine: DrugInput = DrugInput()
    r_ketamine: DrugInput = DrugInput()
    midazolam: Leaf = 0.0  # rate for each kg of body weight [mg/kg/h]
    session: Leaf = 0.0  # 1 during a dosing session, sham included
    psychotherapy: Leaf = 0.0  # intensity of a running psychotherapy session, 0 to 1
    lost: Gates = UNTOUCHED  # what windows take from the gates
    design: TrialDesign = TrialDesign()
