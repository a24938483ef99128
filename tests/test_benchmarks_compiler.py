"""The row of the compiler: its settings act, its counts count, its trials end in time."""

import json
import pickle
import sys
from unittest import mock

import pytest

from benchmarks import compiler, compiler_trial
from benchmarks.record import Figure, median_of
from ketjax.backend import EXTRA, FUSION, Backend, missing_flags

HLO = """\
HloModule jit_step, is_scheduled=true

%fused_computation (p0: f32[8]) -> (f32[8], f32[8]) {
  %p0 = f32[8]{0} parameter(0)
  %exponential.1 = f32[8]{0} exponential(%p0)
  ROOT %tuple.1 = (f32[8]{0}, f32[8]{0}) tuple(%exponential.1, %p0)
}

%loop (p: (s32[], f32[8])) -> f32[8] {
  %p = (s32[], /*index=1*/f32[8]{0}) parameter(0)
  %x = f32[8]{0} get-tuple-element(%p), index=1
  %fusion.1 = (f32[8]{0}, f32[8]{0}) fusion(%x), kind=kLoop, calls=%fused_computation
  %y = f32[8]{0} get-tuple-element(%fusion.1), index=0
  ROOT %add.1 = f32[8]{0} add(%x, %y)
}

ENTRY %main (a: (s32[], f32[8])) -> f32[8] {
  %a = (s32[], f32[8]{0}) parameter(0)
  ROOT %call.1 = f32[8]{0} call(%a), to_apply=%loop, frontend_attributes={xla_cpu_small_call="true"}
}
"""


def test_operations_inside_of_fusions_are_not_counted():
    assert compiler_trial.operations(HLO)["exponential"] == 0
    assert compiler_trial.counts(HLO) == {
        "fusions": 1,
        "fusions_of_several_outputs": 1,
        "others": 2,
        "loops_as_kernels": 1,
    }


def test_passes_of_the_product_are_enabled_one_by_one():
    passes = compiler_trial.options(())[compiler_trial.PASSES].split(",")
    names = {name for setting in compiler.SETTINGS for name in setting.enabled}
    for name in names & set(passes):
        left = compiler_trial.options((name,))[compiler_trial.PASSES].split(",")
        assert set(left) == set(passes) - {name}
    # The pass of fusions is disabled only where a flag of XLA is missing.
    assert names - {"fusion"} <= set(passes)
    with pytest.raises(ValueError, match="no-such-pass"):
        compiler_trial.options(("no-such-pass",))


def test_a_setting_starts_from_the_flags_of_the_user(monkeypatch, tmp_path):
    added = (f"{EXTRA}={FUSION}=true", "--of_ketjax=1")
    found = Backend(flags_found=("--of_user=1",), flags_added=added, cpu_devices=2)
    monkeypatch.setenv("XLA_FLAGS", "--of_user=1 --of_ketjax=1")
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "2")
    with mock.patch.object(compiler, "prepared", lambda: found):
        setting = compiler.Setting("one", ("--of_setting=1",))
        environment = compiler.surroundings(setting, tmp_path)
        without = compiler.surroundings(compiler.Setting("two", fusion=False), tmp_path)
    assert environment["XLA_FLAGS"] == "--of_user=1 --of_setting=1"
    assert environment["KETJAX_CACHE"] == "off"
    assert "JAX_NUM_CPU_DEVICES" not in environment
    # Flags of a file: ketjax adds none.
    assert missing_flags(without["XLA_FLAGS"], "avx512f") == ()
    assert (tmp_path / "flags").read_text().split() == ["--of_user=1", "--of_ketjax=1"]


def test_settings_differ_and_begin_and_end_with_the_product():
    for model in compiler_trial.MODELS:
        settings = compiler.settings_of(model, quick=False)
        assert settings[0] is compiler.PRODUCT and settings[-1] is compiler.AGAIN
        assert len({setting.name for setting in settings}) == len(settings)
        assert compiler.BLOCKS[model] not in [setting.block for setting in settings]


def test_a_command_is_killed_in_time_and_says_why_it_failed():
    sleep, fail = "import time; time.sleep(60)", "raise ValueError('reason')"
    reason, _ = compiler.run([sys.executable, "-c", sleep], {}, 0.3)
    assert reason == "killed after 0.3 s"
    reason, peak = compiler.run([sys.executable, "-c", fail], {}, 30.0)
    assert "reason" in reason and peak > 0
    order = compiler_trial.Order("Lorenz", mock.sentinel.mesh, 8)
    with (
        mock.patch.object(compiler.pickle, "dumps", lambda _: b""),
        mock.patch.object(compiler, "run", lambda *_: ("killed after 1 s", 2.0)),
    ):
        figure = compiler.figure_of(compiler.PRODUCT, order, 1.0)
    assert figure.value is None and figure.note == "killed after 1 s, 2.0 GB"


def timed(repetitions, processor, devices=2):
    details = {"processor_seconds": processor, "devices": devices}
    return median_of("setting", repetitions, "us", details=details)


def test_the_best_setting_is_named():
    figures = {
        "product": timed([2.0, 2.2, 2.1], 4.0e-6),
        "product, again": timed([2.2, 2.3, 2.1], 4.8e-6),
        "one": timed([1.0, 3.0, 2.0], 6e-6),
        "two": Figure("two", None, "us", note="killed"),
        "three": timed([7.0], 3e-6),
        "one device": timed([5.0], 2e-6, devices=1),
    }
    clock, processors = compiler.verdicts("model", figures)
    assert clock.value == pytest.approx(2.15 / 2.0) and clock.passed is True
    assert clock.note.startswith("best: one,")
    # The product's two runs differ too much for a verdict.
    assert processors.value == pytest.approx(4.4 / 3.0) and processors.passed is None
    assert processors.note.startswith("best: three,") and "4 to 4.8 us" in processors.note
    [missing] = compiler.verdicts("model", {"one": figures["one"]})
    assert missing.value is None


def test_a_trial_measures_the_march_of_the_product():
    mesh = compiler_trial.MODELS["Lorenz"](64).mesh
    order = pickle.loads(pickle.dumps(compiler_trial.Order("Lorenz", mesh, 64, repetitions=2)))
    with mock.patch.object(compiler_trial, "SHORTEST", 1e-3):
        found = json.loads(json.dumps(compiler_trial.measure(order)))
    assert len(found["seconds"]) == 2 and min(found["seconds"]) > 0
    assert found["processor_seconds"] > 0
    assert found["steps"] == min(64, mesh.steps) and found["lanes"] == 64
    assert found["fusions"] > 0 and found["temporary_bytes"] > 0
    # The steps are those of the mesh: their error is below the tolerance.
    assert 0 < found["error"] < 1.5
