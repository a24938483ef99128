"""Studies: what is read is what was written, and every mistake is named, all of them together."""

import json
import os
import pickle
import re
import tomllib
from pathlib import Path

import pytest

from ketjax.errors import StudyError
from ketjax.study import ParameterRow, Study, Vocabulary

STUDIES = Path(__file__).parent.parent / "studies"
FIRST = re.sub(
    r"readouts = \[.*?\]",
    'readouts = "all"',
    (STUDIES / "s01_single_infusion.toml").read_text("utf-8"),
    flags=re.DOTALL,
)
"""The first study with the readouts of any vocabulary."""
VOCABULARY = Vocabulary(
    readouts=frozenset({"madrs", "glutamate", "plasma_ketamine"}),
    parameters={
        "receptors.kd_interneuron": ParameterRow("uM", 0.01, 10.0),
        "pharmacokinetics.clearance": ParameterRow("L/h", 1.0, 300.0),
        "psychotherapy.gain": ParameterRow("1", 0.0, 2.0),
    },
    expectancy_designs=frozenset({"saline_crossover", "midazolam_parallel", "open_label", "none"}),
    covariates={"age": "year", "baseline_madrs": "1", "weight": "kg"},
)
SMALL = """
name = "small"
parameters.receptors.kd_interneuron = "500 nM"

[population]
patients = 8
seed = 1
entry.weight = ["50 kg", "90 kg"]
correlations."psychotherapy.gain ~ pharmacokinetics.clearance" = 0.48

[output]
horizon = "7 day"
times = ["0 h", "40 min", "7 day"]
readouts = ["madrs", "glutamate"]

[arms.ketamine]
expectancy = "open_label"
parameters = { "psychotherapy.gain" = "50 %" }

[[arms.ketamine.doses]]
drug = "ketamine"
route = "intravenous"
amount = "0.5 mg/kg"
time = "0 h"
duration = "40 min"
repeat = { every = "48 h", count = 3 }

[[arms.ketamine.blockers]]
target = "ampa"
fraction = 1
time = "0 h"
duration = "24 h"

[[arms.ketamine.sessions]]
time = "24 h"
duration = "90 min"
"""


def parse(text):
    return Study.parse(text, VOCABULARY)


def problems_of(text):
    with pytest.raises(StudyError) as caught:
        parse(text)
    assert caught.value.exit_code == 2
    return {problem.place: problem for problem in caught.value.problems}


def test_the_first_study():
    study = Study.read(STUDIES / "s01_single_infusion.toml")
    assert list(study.arms) == ["ketamine", "midazolam", "saline"]
    (dose,) = study.arms["ketamine"].regimen.doses
    assert (dose.amount, dose.per_kg, dose.time, dose.duration) == (0.5, True, 0.0, 40 / 60)
    assert study.arms["saline"].expectancy == "saline_crossover"
    assert study.population.patients == 10_000
    assert study.population.entry == {"age": (18.0, 80.0), "baseline_madrs": (20.0, 50.0)}
    assert study.horizon == 336.0
    assert {0.0, 1 / 3, 2 / 3, 1.0, 2.0, 4.0, 24.0, 72.0, 168.0, 336.0} <= set(study.times)
    assert {"plasma_ketamine", "dialysate_glutamate", "madrs_rated"} <= set(study.readouts)
    assert (study.solver.rtol, study.solver.dtype) == (1e-3, "float32")


def test_everything_a_study_can_say():
    study = parse(SMALL)
    arm = study.arms["ketamine"]
    assert [dose.time for dose in arm.regimen.doses] == [0.0, 48.0, 96.0]
    assert arm.regimen.blockers[0].stop == 24.0
    assert arm.regimen.sessions[0].duration == 1.5
    assert arm.parameters == {"psychotherapy.gain": 0.5}
    assert study.parameters == {"receptors.kd_interneuron": 0.5}
    pair = "pharmacokinetics.clearance ~ psychotherapy.gain"
    assert study.population.correlations == {pair: 0.48}


@pytest.mark.parametrize("text", [SMALL, FIRST])
def test_json_round_trip(text):
    study = parse(text)
    again = Study.parse(json.loads(study.to_json()), VOCABULARY)
    assert again == study
    assert again.to_json() == study.to_json()
    assert again.digest() == study.digest() and len(study.digest()) == 64
    assert pickle.loads(pickle.dumps(study)) == study
    assert len({study, again}) == 1


def test_the_digest_knows_the_content_not_the_spelling():
    study = parse(SMALL)
    assert parse(SMALL.replace('"7 day"', '"168 hours"')).digest() == study.digest()
    assert parse(SMALL.replace("patients = 8", "patients = 8.0")).digest() == study.digest()
    assert parse(SMALL.replace('"0.5 mg/kg"', '"0.6 mg/kg"')).digest() != study.digest()


def test_replace_checks_anew():
    study = parse(SMALL)
    other = study.replace(patients=3, dtype="float64", rtol=1e-9, horizon="8 day")
    assert (other.population.patients, other.solver.rtol, other.horizon) == (3, 1e-9, 192.0)
    assert other.arms == study.arms and study.population.patients == 8
    with pytest.raises(StudyError, match="did you mean patients"):
        study.replace(patient=3)
    with pytest.raises(StudyError, match=r"output\.times\[2\]"):
        study.replace(horizon="2 day")


def test_a_study_cannot_be_changed():
    study = parse(SMALL)
    with pytest.raises(ValueError, match="frozen"):
        study.name = "other"


def test_a_missing_seed_is_drawn_and_kept():
    study = parse(SMALL.replace("seed = 1\n", ""))
    assert 0 <= study.population.seed < 2**63
    assert json.loads(study.to_json())["population"]["seed"] == study.population.seed


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        # names
        ('name = "small"', 'nam = "small"', "nam", "did you mean name"),
        ('name = "small"', 'name = "../small"', "name", "not beginning with a dot"),
        ('name = "small"', 'name = "small\\n"', "name", "1 to 64"),
        ("[population]", "[populaton]", "populaton", "did you mean population"),
        ("[arms.ketamine]\n", '[arms."keta mine"]\n', 'arms."keta mine"', "1 to 64"),
        ('drug = "ketamine"', 'drug = "ketamin"', "arms.ketamine.doses[0].drug", "did you mean"),
        ('"intravenous"', '"iv"', "arms.ketamine.doses[0].route", "intramuscular"),
        ('"open_label"', '"open"', "arms.ketamine.expectancy", "did you mean open_label"),
        ('["madrs", "', '["madr", "', "output.readouts[0]", "did you mean madrs"),
        ('["madrs", "', '["glutamate", "', "output.readouts[1]", "given twice"),
        ('"ampa"', '"nmda"', "arms.ketamine.blockers[0].target", "trkb"),
        ("count = 3", "cuont = 3", "arms.ketamine.doses[0].repeat.cuont", "did you mean count"),
        ("entry.weight", "entry.wight", "population.entry.wight", "did you mean weight"),
        # numbers
        ("patients = 8", "patients = 0", "population.patients", "greater than or equal to 1"),
        ("patients = 8", "patients = -1", "population.patients", "greater than or equal to 1"),
        ("patients = 8", "patients = 1.5", "population.patients", "integer"),
        ("patients = 8", 'patients = "10k"', "population.patients", "integer"),
        ("patients = 8", "patients = true", "population.patients", "integer"),
        ("patients = 8", "patients = 4294967296", "population.patients", "less than 4294967296"),
        ("seed = 1", "seed = -1", "population.seed", "greater than or equal to 0"),
        ("seed = 1", "seed = 9223372036854775808", "population.seed", "less than"),
        ("seed = 1", 'seed = "one"', "population.seed", "integer"),
        ("fraction = 1", "fraction = 1.3", "arms.ketamine.blockers[0].fraction", "equal to 1"),
        ("fraction = 1", "fraction = nan", "arms.ketamine.blockers[0].fraction", "finite"),
        # quantities
        ('"0.5 mg/kg"', "0.5", "arms.ketamine.doses[0].amount", 'write "0.5 mg/kg"'),
        ('"0.5 mg/kg"', '"-0.5 mg/kg"', "arms.ketamine.doses[0].amount", "at least 0 mg/kg"),
        ('"0.5 mg/kg"', '"nan mg/kg"', "arms.ketamine.doses[0].amount", "not a finite number"),
        ('"0.5 mg/kg"', '"0.5 mL"', "arms.ketamine.doses[0].amount", "wrong dimension"),
        ('"0.5 mg/kg"', '"21 mg/kg"', "arms.ketamine.doses[0].amount", "allow_extrapolation"),
        ('duration = "40 min"', 'duration = "40 m"', "arms.ketamine.doses[0].duration", '"min"'),
        ('duration = "40 min"', 'duration = "-1 h"', "arms.ketamine.doses[0].duration", "0 h"),
        ('"intravenous"', '"intranasal"', "arms.ketamine.doses[0].duration", "absorption"),
        ('duration = "90 min"', 'duration = "0 h"', "arms.ketamine.sessions[0].duration", "least"),
        ('["50 kg", "90 kg"]', '["90 kg", "50 kg"]', "population.entry.weight", "range is empty"),
        ('["50 kg", "90 kg"]', "[50, 90]", "population.entry.weight[0]", 'write "50 kg"'),
        ('["50 kg", "90 kg"]', '["50 kg"]', "population.entry.weight", "[least, greatest]"),
        # times
        ('["0 h", "40 min", "7 day"]', "[]", "output.times", "not empty"),
        ('["0 h", "40 min", "7 day"]', "[0, 1]", "output.times[0]", "unit is needed"),
        ('["0 h", "40 min",', '["40 min", "40 min",', "output.times[1]", "must increase"),
        ('["0 h", "40 min",', '["2 h", "40 min",', "output.times[1]", "must increase"),
        ('["0 h", "40 min",', '["nan h", "40 min",', "output.times[0]", "not a finite"),
        ('["0 h", "40 min",', '["-1 h", "40 min",', "output.times[0]", "from 0 h to 168 h"),
        ('"40 min", "7 day"]', '"40 min", "8 day"]', "output.times[2]", "from 0 h to 168 h"),
        ('horizon = "7 day"', 'horizon = "0 h"', "output.horizon", "at least"),
        ('horizon = "7 day"', 'horizon = "inf h"', "output.horizon", "not a finite"),
        ('time = "24 h"', 'time = "7 day"', "arms.ketamine.sessions[0].time", "below 168 h"),
        ('time = "24 h"', 'time = "-1 h"', "arms.ketamine.sessions[0].time", "from 0 h"),
        ("count = 3", "count = 5", "arms.ketamine.doses[0].repeat", "below 168 h"),
        ("count = 3", "count = 0", "arms.ketamine.doses[0].repeat.count", "equal to 1"),
        ("count = 3", "count = 1000000000", "arms.ketamine.doses[0].repeat.count", "10000"),
        # parameters and correlations
        ("kd_interneuron = ", "kd_interneurn = ", "parameters.receptors.kd_interneurn", "did you"),
        ("receptors.kd_i", "receptor.kd_i", "parameters.receptor.kd_interneuron", "receptors.kd"),
        ('"500 nM"', '"500 ng/mL"', "parameters.receptors.kd_interneuron", "[uM]"),
        ('"500 nM"', '"500 uM"', "parameters.receptors.kd_interneuron", "from 0.01 uM to 10 uM"),
        ('"50 %"', "3", "arms.ketamine.parameters.psychotherapy.gain", "from 0 to 2"),
    ],
)
def test_one_mistake_is_one_problem_at_its_place(old, new, place, words):
    assert old in SMALL
    problem = problems_of(SMALL.replace(old, new, 1))[place]
    assert words in str(problem)
    assert problem.position.isdigit()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ('"psychotherapy.gain ~ pharmacokinetics.clearance" = 1.0', "between -1 and 1"),
        ('"psychotherapy.gain" = 0.5', "two paths are needed"),
        ('"psychotherapy.gain ~ psychotherapy.gain" = 0.5', "two different parameters"),
        ('"psychotherapy.gain ~ pharmacokinetics.clearence" = 0.5', "did you mean"),
    ],
)
def test_impossible_correlations(given, words):
    old = 'correlations."psychotherapy.gain ~ pharmacokinetics.clearance" = 0.48'
    assert words in "".join(
        map(str, problems_of(SMALL.replace(old, f"correlations.{given}")).values())
    )


def test_correlations_must_be_possible_together():
    old = 'correlations."psychotherapy.gain ~ pharmacokinetics.clearance" = 0.48'
    a, b, c = sorted(VOCABULARY.parameters)
    new = "\n".join(
        f'correlations."{pair}" = {value}'
        for pair, value in ((f"{a} ~ {b}", 0.9), (f"{b} ~ {c}", 0.9), (f"{c} ~ {a}", -0.9))
    )
    problem = problems_of(SMALL.replace(old, new))["population.correlations"]
    assert "smallest eigenvalue -0.8" in problem.value  # 1 - 2 * 0.9


def test_all_problems_in_one_message():
    text = (
        SMALL.replace("patients = 8", "patients = 0")
        .replace('drug = "ketamine"', 'drug = "ketamin"')
        .replace('"40 min", "7 day"]', '"40 min", "8 day"]')
        .replace('time = "24 h"', 'time = "9 day"')
        .replace('name = "small"', "")
        + "[extra]\n"
    )
    assert set(problems_of(text)) == {
        "name",
        "population.patients",
        "output.times[2]",
        "arms.ketamine.doses[0].drug",
        "arms.ketamine.sessions[0].time",
        "extra",
    }


def test_the_line_of_a_problem():
    text = SMALL.replace("fraction = 1", "fraction = 2")
    (problem,) = problems_of(text).values()
    assert text.splitlines()[int(problem.position) - 1] == "fraction = 2"


def test_extrapolation_must_be_asked_for():
    text = SMALL.replace('"0.5 mg/kg"', '"30 mg/kg"')
    assert problems_of(text)["arms.ketamine.doses[0].amount"].code == "extrapolation"
    parse("allow_extrapolation = true\n" + text)


def test_no_arms_and_no_dose():
    head = SMALL[: SMALL.index("[arms.ketamine]")]
    assert problems_of(head)["arms"].code == "missing"
    assert problems_of("arms = {}\n" + head)["arms"].allowed == "at least one"
    assert parse(head + "[arms.untreated]\n").arms["untreated"].regimen.events == ()


def test_rtol_must_suit_the_floating_point_type():
    single = '[solver]\nrtol = 1e-9\ndtype = "float32"\n'
    assert "1.1920928955078125e-06" in problems_of(SMALL + single)["solver.rtol"].allowed
    assert parse(SMALL + single.replace("32", "64")).solver.rtol == 1e-9
    for wrong in ("0", "-1e-3", "nan", "0.5"):
        assert problems_of(SMALL + f"[solver]\nrtol = {wrong}\n")["solver.rtol"]
    half = '[solver]\ndtype = "float16"\n'
    assert "float32, float64" in str(problems_of(SMALL + half)["solver.dtype"])


@pytest.mark.parametrize(
    ("text", "position"),
    [("a = 1\na = 2\n", "2:6"), ("a = \n", "1:5"), ("[a\n", "1:3"), ("x = " + "[" * 5000, "")],
)
def test_no_toml(text, position):
    problem = problems_of(text)[""]
    assert (problem.code, problem.position) == ("toml_syntax", position)


def test_a_syntax_error_shows_file_line_column_and_caret(tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text('name = "x"\nseed == 1\n')
    with pytest.raises(StudyError) as caught:
        Study.read(path, VOCABULARY)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{path}:2:7: this is no TOML")
    assert lines[1].index("= 1") == lines[2].index("^")


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "empty.toml").write_text("\n \n")
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9t\xe9"\n')
    (tmp_path / "study.toml").write_text(SMALL)
    os.mkfifo(tmp_path / "pipe.toml")
    codes = {}
    for name in (".", "stdy.toml", "empty.toml", "latin.toml", "pipe.toml"):
        with pytest.raises(StudyError) as caught:
            Study.read(tmp_path / name, VOCABULARY)
        (problem,) = caught.value.problems
        codes[name] = problem.code
        assert str(tmp_path) in str(caught.value)
        if name == "stdy.toml":
            assert problem.hint.startswith("did you mean study.toml")
        if name == "latin.toml":
            assert "byte 8 is 0xe9" in problem.message
    assert codes == {
        ".": "file_is_directory",
        "stdy.toml": "file_missing",
        "empty.toml": "file_empty",
        "latin.toml": "file_encoding",
        "pipe.toml": "file_not_regular",
    }


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    path = tmp_path / "marked.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALL.encode())
    assert Study.read(path, VOCABULARY) == parse(SMALL)


def test_values_are_quoted_without_control_characters():
    problem = problems_of(SMALL.replace('"open_label"', '"\\u001b[31mred"'))
    assert "\x1b" not in str(problem["arms.ketamine.expectancy"])


def test_an_error_survives_pickling():
    error = StudyError(problems_of("x = 1").values(), source="a.toml")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_tables_are_accepted_as_well_as_text():
    assert Study.parse(tomllib.loads(SMALL), VOCABULARY) == parse(SMALL)


def test_observations_are_kept_by_name_alone():
    """But for the rated score: "all" readouts do not grow with what could be recorded of them."""
    first = Study.read(STUDIES / "s01_single_infusion.toml")
    kept = first.replace(readouts="all").readouts
    assert "madrs_rated" in kept and "il6" in kept
    assert not {"il6_measured", "madrs_item_01", "hamd17_rated"} & set(kept)
    named = ["madrs_item_01", "il6_measured"]
    assert first.replace(readouts=named).readouts == tuple(named)
    assert first.output.outcomes == () and first.output.relapse is None
