"""The suite of benchmarks: its C agrees with jax, its command answers, its records are whole."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.peers import emit_c
from benchmarks.record import Figure, NotMeasured, machine, median_of, table, write
from ketjax.solve.structure import trace

ROOT = Path(__file__).parents[1]


def everything(x, y, shared):
    """Every primitive that the emitter knows, of positive x and any y."""
    small = jnp.tanh(y) + jax.nn.sigmoid(y) + jnp.expm1(0.1 * y) + jnp.log1p(x)
    powers = x**y + x**3 + x**-2 + jnp.sqrt(x) + jax.lax.rsqrt(x) + jnp.cbrt(x)
    powers = powers + jnp.square(y) + jax.lax.exp2(y)
    waves = jnp.sin(y) * jnp.cos(y) - jnp.exp(-x) / jnp.log(x + 2.0)
    limits = jnp.maximum(x, y) - jnp.minimum(x, shared) + jnp.abs(y) + jnp.sign(y)
    limits = limits + jnp.clip(y, -0.5, shared)
    inside = ((y > -1.0) & (y <= shared)) | (x >= 3.0) | (y == 0.0)
    chosen = jnp.where(inside ^ (x != 2.0), x, -y) + jnp.where(~inside, shared * y, 1.0)
    finite = jnp.where(jnp.isfinite(x / y), 1.0, jnp.inf) + (y < 0.3).astype(y.dtype)
    return small, powers, waves, limits, chosen, finite, shared + 1.0


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
@pytest.mark.parametrize("vectors", [False, True])
def test_emitted_c_agrees_with_jax(vectors):
    try:
        dialect = emit_c.widest() if vectors else emit_c.Dialect()
    except NotMeasured as reason:
        pytest.skip(str(reason))
    lanes, dtype = dialect.lanes, dialect.dtype
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0.2, 4.0, 16).astype(dtype), rng.normal(size=16).astype(dtype)
    y[3] = 0.0
    example = np.zeros(lanes if vectors else (), dtype)
    program = trace(everything, example, example, dtype.type(0.5))
    code = emit_c.emit(program, ["x", "y", "shared"], dialect)
    kind = "V" if vectors else "double"
    stores = "".join(
        f"*({kind} *)(out + {16 * index} + i) = {text};\n"
        for index, text in enumerate(code.outputs)
    )
    source = f"""{dialect.preamble()}
void evaluate(const {dialect.scalar} *px, const {dialect.scalar} *py, {dialect.scalar} *out) {{
  const {dialect.scalar} shared = 0.5;
  for (int i = 0; i < 16; i += {lanes}) {{
    {kind} x = *(const {kind} *)(px + i), y = *(const {kind} *)(py + i);
    {" ".join(code.before + code.statements)}
    {stores}
  }}
}}"""
    library = emit_c.compile_c(source, "-O2", "-march=native", "-lmvec", "-lm")
    px, py, out = (emit_c.aligned(np.zeros((n, 16), dtype)) for n in (1, 1, 7))
    px[:], py[:] = x, y
    library.evaluate(*map(emit_c.pointer, (px, py, out)))
    expected = [
        np.broadcast_to(part, 16) for part in everything(*map(jnp.asarray, (x, y, dtype.type(0.5))))
    ]
    np.testing.assert_allclose(out, expected, rtol=1e-12 if dtype == np.float64 else 1e-5)
    assert not code.steady and code.counts["pow"] == 1


def test_emitter_shares_terms_and_counts_operations():
    program = trace(lambda x, y: (x * y + y * x) * (x * x * x + 2.0), 1.0, 1.0)
    code = emit_c.emit(program, ["x", "y"], emit_c.Dialect(), fixed=[True, False])
    assert code.counts == {"mul": 2, "add": 1}
    assert code.steady == {"mul": 2, "add": 1}


def test_emitter_refuses_what_it_does_not_know():
    with pytest.raises(NotImplementedError, match="erf"):
        emit_c.emit(trace(jax.lax.erf, 1.0), ["x"], emit_c.Dialect())


def test_list_names_the_rows():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--list"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert {"course", "cvode", "diffrax", "pollu"} <= {
        line.split()[0] for line in done.stdout.splitlines()
    }


def test_records_are_whole(tmp_path):
    figures = [
        median_of("rate", [3.0, 1.0, 2.0], "patients/s", target=1.5),
        Figure("wait", 9.0, "s", target=8.0, most=True),
        Figure("peer", None, "", note="not installed"),
    ]
    assert [figure.passed for figure in figures] == [True, False, None]
    lines = write(tmp_path, "row", figures, machine()).read_text().splitlines()
    first = json.loads(lines[0])
    assert len(lines) == 3 and first["value"] == 2.0 and first["repetitions"] == [3.0, 1.0, 2.0]
    assert {
        "row", "name", "unit", "target", "passed", "commit", "versions", "device", "cores", "cpu",
        "date",
    } <= set(first)  # fmt: skip
    assert {"jax", "jaxlib", "numpy", "python"} <= set(first["versions"])
    text = table(figures)
    assert "pass" in text and "FAIL" in text and "not installed" in text
