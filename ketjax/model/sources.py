"""Sources: citation key to reference, DOI, species, preparation and evidence mark.

The keys stand in the `source` column of the parameter table and in the `Source:` sections of the
equations. The mark says how well the main fact taken from a source was checked: *read* in the paper,
its abstract or a table; *secondary*, quoted or transcribed by someone else; *unverified*; *derived*
from other sources; *assumed*. `preparation` says what was studied and what in it is weaker. A DOI
that was not at hand is empty.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a number or a relation comes from."""

    reference: str
    doi: str
    species: str
    preparation: str
    mark: str


SOURCES: dict[str, Source] = {
    # Not publications.
    "assumed": Source("a choice without data", "", "", "wide prior, sensitivity analysis", "assumed"),
    "TargetProfiles": Source("joint fit to target profiles P01 to P08 and P10", "", "human", "summaries of trials; 38 numbers against 53 rows, so priors decide several", "derived"),
    "PharmacokineticFit": Source("least squares on published concentration summaries, then rounded", "", "human", "calibration rows of the concentration table", "derived"),
    "Chemistry": Source("molar masses of the free bases, from a public transcription of Simons 2022", "", "", "chemical constants", "read"),
    "ClinicalSummary": Source("pooled impression of several trials", "", "human", "CADSS about 12 (SD 12) at 40 min of 0.5 mg/kg", "unverified"),
    # Pharmacokinetics.
    "Dayton1983": Source("Dayton 1983, Eur J Clin Pharmacol 24:825", "10.1007/BF00607095", "human", "binding in plasma", "read"),
    "EsketamineLabel": Source("Spravato product label", "", "human", "label and summaries of it", "secondary"),
    "Grant1981": Source("Grant 1981, Br J Anaesth 53:805", "", "human", "intramuscular and oral ketamine", "unverified"),
    "Hasan2021": Source("Hasan 2021, Anesthesiology 135:326", "10.1097/ALN.0000000000003829", "human", "15 volunteers, racemate, enantiomers", "read"),
    "Laje2012": Source("Laje 2012, Biol Psychiatry 72:e27", "10.1016/j.biopsych.2012.05.031", "human", "62 patients by BDNF Val66Met; direction only", "unverified"),
    "Li2015": Source("Li 2015, Br J Clin Pharmacol (PMID 25702819)", "", "human", "49 patients in chronic pain, steady-state clearance by CYP2B6 genotype", "secondary"),
    "Moaddel2023": Source("Moaddel 2023, iScience", "", "human", "cerebrospinal fluid of 9 volunteers; ratio to plasma", "secondary"),
    "Otto2021": Source("Otto 2021, Eur J Clin Pharmacol 77:1181", "10.1007/s00228-021-03104-1", "human", "48 volunteers, S-ketamine and norketamine, venous", "secondary"),
    "PerezRuixo2021": Source("Perez-Ruixo 2021, Clin Pharmacokinet 60:501", "10.1007/s40262-020-00953-4", "human", "820 volunteers and patients, esketamine; clearance and demography read", "secondary"),
    "Rs6265Europe": Source("population genetics of rs6265, approximate", "", "human", "European ancestry: 65, 31, 4 % with 0, 1, 2 Met alleles", "unverified"),
    "Simons2022": Source("Simons 2022, Front Pain Res 3:946486", "10.3389/fpain.2022.946486", "human", "20 volunteers, S-ketamine film and infusion, arterial; drug high read", "secondary"),
    # Receptors.
    "Ebert1997": Source("Ebert 1997, Eur J Pharmacol 333:99", "", "rat", "cortex, displacement of [3H]MK-801", "secondary"),
    "Gerhard2020": Source("Gerhard 2020, J Clin Invest 130:1336", "10.1172/JCI130808", "mouse", "prefrontal slices; knock-down of GluN2B by cell type", "read"),
    "Kotermanski2009": Source("Kotermanski and Johnson 2009, J Neurosci 29:2774", "10.1523/JNEUROSCI.3703-08.2009", "cells (HEK293)", "whole-cell block of recombinant receptors with and without Mg", "unverified"),
    "Salat2015": Source("Salat 2015, Neuropharmacology 99:301", "", "rat", "brain homogenate, displacement of [3H]MK-801", "secondary"),
    # Circuit and glutamate.
    "Abdallah2018": Source("Abdallah 2018, Neuropsychopharmacology 43:2154", "10.1038/s41386-018-0136-3", "human", "21 people, 13C glutamine enrichment during infusion", "read"),
    "Homayoun2007": Source("Homayoun and Moghaddam 2007, J Neurosci 27:11496", "10.1523/JNEUROSCI.2213-07.2007", "rat", "awake, single units of prefrontal cortex under MK-801; shares of cells unverified", "read"),
    "Lazarevic2021": Source("Lazarevic 2021, Mol Psychiatry 26:7425", "10.1038/s41380-021-01246-3", "rodent", "depolarisation-evoked glutamate, which falls", "read"),
    "Maeng2008": Source("Maeng 2008, Biol Psychiatry 63:349", "10.1016/j.biopsych.2007.05.028", "mouse", "NBQX before ketamine attenuates behaviour and p-GluR1", "read"),
    "Bonaventura2021": Source("Bonaventura 2021, Mol Psychiatry 26:6704", "10.1038/s41380-021-01093-2", "rat", "S- but not R-ketamine acts on mu and kappa receptors; doses not given here", "read"),
    "Moghaddam1997": Source("Moghaddam 1997, J Neurosci 17:2921", "10.1523/JNEUROSCI.17-08-02921.1997", "rat", "awake, microdialysis of prefrontal cortex; peak sizes and times unverified", "read"),
    "Schobel2013": Source("Schobel 2013, Neuron 78:81", "10.1016/j.neuron.2013.02.011", "mouse", "hippocampus by region; mGluR2/3 agonist", "read"),
    # Signalling.
    "Autry2011": Source("Autry 2011, Nature 475:91", "10.1038/nature10130", "mouse", "hippocampus: p-eEF2 falls; course of BDNF protein unverified", "read"),
    "Haile2014": Source("Haile 2014, Int J Neuropsychopharmacol 17:331", "10.1017/S1461145713001119", "human", "plasma BDNF at 240 min and score, 15 patients on ketamine", "read"),
    "Lepack2015": Source("Lepack 2015, Int J Neuropsychopharmacol 18(1)", "10.1093/ijnp/pyu033", "rat", "cortical culture; antibody and calcium-channel block in prefrontal cortex", "read"),
    "Li2010": Source("Li 2010, Science 329:959", "10.1126/science.1190287", "rat", "synaptosomes and spines of prefrontal cortex; only the effect of rapamycin was read", "unverified"),
    "Zanos2016": Source("Zanos 2016", "", "mouse", "hydroxynorketamine; negative data in rat", "unverified"),
    "Zaytseva2023": Source("Zaytseva 2023, eLife", "10.7554/eLife.86022", "mouse", "hippocampus, synaptic GluA1 within 1 h", "read"),
    # Synapses.
    "Fuchikami2015": Source("Fuchikami 2015, PNAS 112:8106", "10.1073/pnas.1414728112", "rat", "infralimbic silencing and local infusion", "read"),
    "Grutzendler2002": Source("Grutzendler 2002, Nature 420:812", "10.1038/nature01276", "mouse", "adult visual cortex, spines imaged in vivo", "read"),
    "Holmes2022": Source("Holmes 2022, Mol Psychiatry 27:2273", "10.1038/s41380-022-01465-2", "human", "SV2A PET 24 h after ketamine", "read"),
    "ModaSava2019": Source("Moda-Sava 2019, Science 364:eaat8078", "10.1126/science.aat8078", "mouse", "prefrontal spines imaged in vivo; sizes unverified", "read"),
    "Phoumthipphavong2016": Source("Phoumthipphavong 2016, eNeuro", "10.1523/ENEURO.0133-15.2016", "mouse", "medial frontal spines imaged in vivo for 2 weeks; sizes unverified", "read"),
    # Inflammation and network.
    "Evans2018": Source("Evans 2018, Biol Psychiatry 84:582", "10.1016/j.biopsych.2018.01.027", "human", "33 patients and 25 controls, resting fMRI", "read"),
    "Ma2023": Source("Ma 2023, Nature 622:802", "10.1038/s41586-023-06624-1", "mouse", "lateral habenula, persistent block by trapping", "read"),
    "Osimo2020": Source("Osimo 2020, Brain Behav Immun 87:901", "10.1016/j.bbi.2020.02.010", "human", "meta-analysis, 107 studies, 5166 patients", "read"),
    "Park2017": Source("Park 2017, J Psychiatr Res 84:113", "10.1016/j.jpsychires.2016.09.025", "human", "plasma cytokines of 80 patients", "read"),
    "Scheidegger2012": Source("Scheidegger 2012, PLoS ONE 7:e44799", "10.1371/journal.pone.0044799", "human", "17 healthy people, resting fMRI at 24 h", "read"),
    # Concomitant agents.
    "Patsalos2015": Source("Patsalos 2015, Epilepsia", "10.1111/epi.12865", "human", "kinetics of perampanel", "read"),
    "Andrashko2020": Source("Andrashko 2020, Front Psychiatry 11:844", "10.3389/fpsyt.2020.00844", "human", "47 patients on 0.54 mg/kg as add-on: 8 mg a day of diazepam-equivalents separate responders, confounded by severity", "read"),
    "Mathew2010": Source("Mathew 2010, Int J Neuropsychopharmacol 13:71", "10.1017/S1461145709000169", "human", "26 patients, lamotrigine 300 mg 2 h before the infusion: no effect on response or side effects", "read"),
    # Acute effects and markers.
    "Zanos2018": Source("Zanos 2018, Pharmacol Rev 70:621", "10.1124/pr.117.015198", "human", "review, table of concentrations by effect", "read"),
    "Adams1992": Source("Adams 1992 (PMID 1332529)", "", "human", "anaesthetic potency, S three times R", "secondary"),
    "Kienbaum2001": Source("Kienbaum 2001, Anesthesiology 94:252", "", "human", "S-ketamine 713 (295) ng/mL during anaesthesia", "read"),
    "YaleReview2024": Source("Gen Hosp Psychiatry 2024", "10.1016/j.genhosppsych.2024.07.001", "human", "138 patients, 2342 infusions, blood pressure", "read"),
    "Langsjo2005": Source("Langsjo 2005, Anesthesiology 103:258", "", "human", "S-ketamine by target-controlled infusion, healthy men", "read"),
    "Kamp2021": Source("Kamp 2021, Br J Anaesth 127:23", "", "human", "cardiac output by enantiomer and norketamine; direction", "read"),
    "Glue2017": Source("Glue 2017, J Psychopharmacol", "", "human", "12 patients with anxiety, ascending doses under the skin", "read"),
    "Glue2020": Source("Glue 2020, J Psychopharmacol", "10.1177/0269881119874457", "human", "12 patients with anxiety, ketamine against midazolam, whose effect was minor and brief", "read"),
    "Kaiser2015": Source("Kaiser 2015, JAMA Psychiatry 72:603", "10.1001/jamapsychiatry.2015.0071", "human", "meta-analysis of connectivity, 556 patients; a larger sample found the opposite sign", "read"),
    "Adhikari2020": Source("Adhikari 2020 (PMC7267897)", "", "human", "30 healthy men, ketamine and midazolam, connectivity by fMRI", "read"),
    "PeerJ2021": Source("PeerJ 2021 (PMC8015784)", "", "human", "plasma BDNF of 94 patients", "read"),
    "Rowland2005": Source("Rowland 2005, Am J Psychiatry 162:394", "10.1176/appi.ajp.162.2.394", "human", "10 people, spectroscopy at 4 T: glutamine rises", "read"),
    # Noise of observations.
    "Aziz2019": Source("Aziz 2019 (PMC6744707)", "", "human", "variation of cytokines within a person", "read"),
    "BdnfAssays": Source("Sci Rep 17989", "10.1038/srep17989", "human", "BDNF by several assays, 5 to 20 % apart", "read"),
    "MadrsItems2021": Source("agreement on the items of the MADRS, 2021", "10.1080/08039488.2021.1918240", "human", "intraclass correlation of items 0.87 to 0.98", "read"),
    "SpectroscopyRetest": Source("retest of spectroscopy at 7 T (PMC3620961)", "", "human", "4 people, cingulate and dorsolateral cortex", "read"),
    "Tozzi2020": Source("Tozzi 2020 (PMC7888485)", "", "human", "retest of connectivity: good for averages of networks", "read"),
    "Tuncel2021": Source("Tuncel 2021, J Cereb Blood Flow Metab", "", "human", "17 people, SV2A PET again after 28 days", "read"),
    "WilliamsKobak2008": Source("Williams and Kobak 2008, Br J Psychiatry", "10.1192/bjp.bp.106.032532", "human", "agreement of raters on the MADRS, intraclass correlation 0.93", "read"),
    # Trials and the score.
    "Daly2018": Source("Daly 2018, JAMA Psychiatry 75:139", "10.1001/jamapsychiatry.2017.3739", "human", "nasal esketamine by dose, resistant depression", "read"),
    "Cohen2013": Source("Cohen 2013, PLoS ONE 8:e63191", "10.1371/journal.pone.0063191", "rat", "synaptic proteins of cultured neurons: half-lives of 2 to 5 days", "read"),
    "DiazGranados2010": Source("DiazGranados 2010, Arch Gen Psychiatry 67:793", "", "human", "18 patients, bipolar depression, crossover", "read"),
    "Glue2018": Source("Glue 2018, J Psychopharmacol 32:663", "", "human", "20 patients with anxiety, 1 mg/kg under the skin, maintenance", "secondary"),
    "Han2016": Source("Han 2016, Neuropsychiatr Dis Treat 12:2859", "10.2147/NDT.S117146", "human", "meta-analysis, 9 trials, 368 patients", "read"),
    "Ibrahim2012": Source("Ibrahim 2012, Neuropsychopharmacology 37:1526", "10.1038/npp.2011.338", "human", "one infusion, then riluzole or placebo; relapse of 26 patients", "read"),
    "Loo2023": Source("Loo 2023, Br J Psychiatry 223:533", "10.1192/bjp.2023.79", "human", "ketamine under the skin or midazolam twice a week for four weeks; remission by cohort", "unverified"),
    "Murrough2013a": Source("Murrough 2013, Am J Psychiatry 170:1134", "10.1176/appi.ajp.2013.13030392", "human", "ketamine 47, midazolam 25; response of midazolam unverified", "read"),
    "Murrough2013b": Source("Murrough 2013, Biol Psychiatry 74:250", "10.1016/j.biopsych.2012.06.022", "human", "24 patients, six open infusions", "read"),
    "NimhCrossover": Source("NIMH crossover (PMC10810879)", "", "human", "double-blind ketamine and saline, resistant depression", "read"),
    "Olofsen2012": Source("Olofsen 2012, Anesthesiology 117:353", "", "human", "12 healthy men, S-ketamine, effect site and memory", "read"),
    "Posternak2005": Source("Posternak and Zimmerman 2005, J Clin Psychiatry 66:148", "", "human", "meta-analysis, 47 trials, course of improvement", "read"),
    "Singh2016": Source("Singh 2016, Am J Psychiatry 173:816", "10.1176/appi.ajp.2016.16010037", "human", "67 patients, two or three infusions a week or saline", "read"),
    "Taylor2006": Source("Taylor 2006, Arch Gen Psychiatry 63:1217", "", "human", "meta-analysis, 28 trials, 5872 patients", "read"),
    "TransformTrials": Source("TRANSFORM-1 and -2 pooled: Jones 2022, Arch Womens Ment Health 25:313", "10.1007/s00737-021-01185-6", "human", "nasal esketamine or placebo with a new antidepressant", "read"),
}
