"""From a traced program to C: one statement an operation, shared terms once.

An array with one entry a patient becomes a double (one patient at a time) or a GCC vector of
float32 lanes (several patients at once); what all patients share stays a scalar. Supported are the
elementwise primitives in the tables below.
"""

import collections
import ctypes
import dataclasses
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jax.extend.core import Literal, Var

from benchmarks.record import NotMeasured, cpu_flags
from ketjax.solve.structure import Program, aval

OPERATORS = {"add": "+", "add_any": "+", "sub": "-", "mul": "*", "div": "/"}
COMPARISONS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
LOGIC = {"and": "&", "or": "|", "xor": "^"}
FUNCTIONS = set(
    "max min pow abs sign sqrt rsqrt cbrt exp exp2 expm1 log log1p tanh logistic sin cos".split()
)
COPIES = set(
    "convert_element_type broadcast_in_dim reshape squeeze expand_dims copy copy_p stop_gradient"
    " slice reduce_precision".split()
)
COMMUTATIVE = {"add", "add_any", "mul", "max", "min", "and", "or", "xor", "eq", "ne"}
LIBMVEC = ("exp", "exp2", "expm1", "log", "log1p", "pow", "cbrt", "tanh", "sin", "cos")


@dataclasses.dataclass(frozen=True)
class Dialect:
    """What a patient's number is in C.

    Attributes:
        lanes: Patients in a vector; 1 for one patient at a time.
        scalar: "float" or "double".
        instructions: Letter of the instruction set in the names of libmvec; unused for one lane.
    """

    lanes: int = 1
    scalar: str = "double"
    instructions: str = ""

    @property
    def dtype(self) -> np.dtype:
        """The dtype of a number."""
        return np.dtype("float32" if self.scalar == "float" else "float64")

    def preamble(self) -> str:
        """Types and functions that the statements use."""
        suffix = "f" if self.scalar == "float" else ""
        text = _SCALAR.replace("REAL", self.scalar).replace("SUFFIX", suffix)
        if self.lanes == 1:
            return text
        bits = 32 * self.lanes
        text += _VECTOR.replace("BYTES", str(4 * self.lanes)).replace("BITS", str(bits))
        for name in LIBMVEC:
            arguments = ["V"] * (2 if name == "pow" else 1)
            symbol = f"_ZGV{self.instructions}N{self.lanes}{'v' * len(arguments)}_{name}f"
            text += f"V {symbol}({', '.join(arguments)});\n#define v_{name} {symbol}\n"
        return text


def widest() -> Dialect:
    """The widest float32 vectors of this processor.

    Raises:
        NotMeasured: The processor has neither AVX-512 nor AVX2.
    """
    flags = cpu_flags()
    if {"avx512f", "avx512dq"} <= flags:
        return Dialect(16, "float", "e")
    if {"avx2", "fma"} <= flags:
        return Dialect(8, "float", "d")
    raise NotMeasured("the vector code needs an x86 processor with AVX2 or AVX-512")


@dataclasses.dataclass
class Code:
    """A program in C.

    Attributes:
        before: Statements that read fixed inputs only, one a line, in order.
        statements: The others, which come after them.
        outputs: Expressions of the outputs; vectors if the dialect has lanes.
        counts: Operations of each patient among the statements, by kind.
        steady: Operations of each patient before them, by kind.
        shared: Operations that all patients of a vector share, by kind.
    """

    before: list[str] = dataclasses.field(default_factory=list)
    statements: list[str] = dataclasses.field(default_factory=list)
    outputs: list[str] = dataclasses.field(default_factory=list)
    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    steady: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    shared: collections.Counter = dataclasses.field(default_factory=collections.Counter)


@dataclasses.dataclass(frozen=True)
class _Value:
    """An expression: is it a vector, a truth value, does it stay the same from step to step?"""

    text: str
    vector: bool
    mask: bool = False
    fixed: bool = False


def emit(
    program: Program,
    names: Sequence[str],
    dialect: Dialect,
    *,
    fixed: Sequence[bool] | None = None,
    prefix: str = "v",
) -> Code:
    """Write a program as C statements.

    Args:
        program: Elementwise over patients, traced with `dialect.lanes` patients (shape () for 1).
        names: C expression of each input.
        dialect: What a patient's number is.
        fixed: Inputs that stay the same; what reads only these and constants comes before.
        prefix: Prefix of the names of new variables.

    Returns:
        The code.

    Raises:
        NotImplementedError: A primitive is not supported.
    """
    code = Code()
    values: dict[Var, _Value] = {}
    fixed = fixed or [False] * len(names)
    for variable, name, same in zip(program.inputs, names, fixed, strict=True):
        shape = aval(variable).shape
        values[variable] = _Value(name, dialect.lanes > 1 and shape == (dialect.lanes,), fixed=same)
    seen: dict[tuple, _Value] = {}

    def read(variable: Var | Literal) -> _Value:
        if isinstance(variable, Literal):
            return _constant(variable.val, dialect)
        if variable in program.constants:
            return _constant(program.constants[variable], dialect)
        return values[variable]

    for equation in program.equations:
        name = equation.primitive.name
        operands = [read(variable) for variable in equation.invars]
        target = aval(equation.outvars[0])
        if name in COPIES and operands[0].mask == (target.dtype == bool):
            values[equation.outvars[0]] = operands[0]
            continue
        text = [operand.text for operand in operands]
        power = equation.params.get("y") if name == "integer_pow" else None
        key = (name, power, *(sorted(text) if name in COMMUTATIVE else text))
        if key not in seen:
            vector = any(operand.vector for operand in operands)
            expression = _expression(name, operands, power, vector)
            mask = target.dtype == bool
            kind = ("M" if mask else "V") if vector else ("int" if mask else dialect.scalar)
            result = _Value(f"{prefix}{len(seen)}", vector, mask, all(o.fixed for o in operands))
            lines = code.before if result.fixed else code.statements
            lines.append(f"const {kind} {result.text} = {expression};")
            own = code.steady if result.fixed else code.counts
            counts = own if vector or dialect.lanes == 1 else code.shared
            counts.update(_cost(name, power))
            seen[key] = result
        values[equation.outvars[0]] = seen[key]
    for output in program.outputs:
        value = read(output)
        code.outputs.append(_filled(value) if dialect.lanes > 1 else value.text)
    return code


def _constant(value: object, dialect: Dialect) -> _Value:
    """A number that is the same for every patient."""
    array = np.asarray(value)
    number = array.ravel()[0]
    if not np.array_equal(array, np.full_like(array, number), equal_nan=array.dtype.kind == "f"):
        raise NotImplementedError("a constant differs between patients")
    if array.dtype == bool:
        return _Value(str(int(number)), vector=False, mask=True, fixed=True)
    suffix = "f" if dialect.scalar == "float" else ""
    if np.isnan(number):
        return _Value(f'__builtin_nan{suffix}("")', vector=False, fixed=True)
    if np.isinf(number):
        return _Value(
            f"({'-' if number < 0 else ''}__builtin_inf{suffix}())", vector=False, fixed=True
        )
    text = repr(float(dialect.dtype.type(number)))
    text = text if "." in text or "e" in text else f"{text}.0"
    return _Value(
        f"({text}{suffix})" if number < 0 else f"{text}{suffix}", vector=False, fixed=True
    )


def _filled(value: _Value) -> str:
    """The expression as a vector."""
    if value.vector:
        return value.text
    return f"v_fill_mask({value.text})" if value.mask else f"v_fill({value.text})"


def _expression(name: str, operands: list[_Value], power: int | None, vector: bool) -> str:
    """The right-hand side of a statement."""
    text = [operand.text for operand in operands]
    letter = "v" if vector else "s"
    full = [_filled(operand) for operand in operands] if vector else text
    if name in OPERATORS:
        return f"{text[0]} {OPERATORS[name]} {text[1]}"
    if name in COMPARISONS:
        return f"{text[0]} {COMPARISONS[name]} {text[1]}"
    if name in LOGIC:
        return f"{full[0]} {LOGIC[name]} {full[1]}"
    if name == "neg":
        return f"-{text[0]}"
    if name == "not":
        return f"~{full[0]}" if vector else f"!{text[0]}"
    if name == "square":
        return f"{text[0]} * {text[0]}"
    if name == "integer_pow" and power:
        product = _product(text[0], abs(power))
        return product if power > 0 else f"1 / ({product})"
    if name == "select_n" and len(operands) == 3 and operands[0].mask:
        return f"{letter}_select({full[0]}, {full[2]}, {full[1]})"
    if name == "clamp":
        return f"{letter}_min({letter}_max({full[1]}, {full[0]}), {full[2]})"
    if name == "convert_element_type" and operands[0].mask:
        return f"v_select({text[0]}, v_fill(1), v_fill(0))" if vector else text[0]
    if name in FUNCTIONS or name == "is_finite":
        return f"{letter}_{name}({', '.join(full)})"
    raise NotImplementedError(f"primitive {name} has no C here")


def _product(base: str, power: int) -> str:
    """A whole power as a product of halves, which the compiler shares."""
    if power == 1:
        return base
    half = _product(base, power // 2)
    rest = f" * {base}" if power % 2 else ""
    return f"(({half}) * ({half}){rest})"


def _cost(name: str, power: int | None) -> dict[str, int]:
    """Operations by kind: each function is one."""
    if name == "integer_pow" and power:
        squarings = abs(power).bit_length() - 1
        cost = {"mul": squarings + abs(power).bit_count() - 1}
        return cost | ({"div": 1} if power < 0 else {})
    if name == "square":
        return {"mul": 1}
    if name == "clamp":
        return {"min": 1, "max": 1}
    return {"add" if name == "add_any" else name: 1}


def compile_c(source: str, *options: str) -> ctypes.CDLL:
    """Compile C with gcc and load it.

    Args:
        source: C of a library.
        options: Options of gcc; libraries too.

    Returns:
        The library.

    Raises:
        NotMeasured: There is no gcc, or it cannot build this.
    """
    gcc = shutil.which("gcc")
    if gcc is None:
        raise NotMeasured("gcc is not installed")
    # The library stays loaded after its folder is gone.
    with tempfile.TemporaryDirectory() as folder:
        path, built = Path(folder, "code.c"), Path(folder, "code.so")
        path.write_text(source)
        command = [gcc, "-shared", "-fPIC", str(path), "-o", str(built), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotMeasured(f"gcc: {done.stderr.strip()[:300]}")
        return ctypes.CDLL(str(built))


def aligned(array: np.ndarray) -> np.ndarray:
    """A copy that begins at a whole cache line, as vectors do."""
    memory = np.empty(array.nbytes + 64, np.uint8)
    begin = -memory.ctypes.data % 64
    copy = memory[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    """Address of an array for C."""
    return array.ctypes.data_as(ctypes.c_void_p)


_SCALAR = """
#include <math.h>
static inline REAL s_max(REAL a, REAL b) { return a > b ? a : b; }
static inline REAL s_min(REAL a, REAL b) { return a < b ? a : b; }
static inline REAL s_abs(REAL x) { return fabsSUFFIX(x); }
static inline REAL s_sign(REAL x) { return (x > 0) - (x < 0); }
static inline REAL s_sqrt(REAL x) { return sqrtSUFFIX(x); }
static inline REAL s_rsqrt(REAL x) { return 1 / sqrtSUFFIX(x); }
static inline REAL s_logistic(REAL x) { return 1 / (1 + expSUFFIX(-x)); }
static inline int s_is_finite(REAL x) { return fabsSUFFIX(x) < __builtin_infSUFFIX(); }
static inline REAL s_select(int c, REAL a, REAL b) { return c ? a : b; }
#define s_exp expSUFFIX
#define s_exp2 exp2SUFFIX
#define s_expm1 expm1SUFFIX
#define s_log logSUFFIX
#define s_log1p log1pSUFFIX
#define s_pow powSUFFIX
#define s_cbrt cbrtSUFFIX
#define s_tanh tanhSUFFIX
#define s_sin sinSUFFIX
#define s_cos cosSUFFIX
"""

_VECTOR = """
#include <immintrin.h>
typedef float V __attribute__((vector_size(BYTES)));
typedef int M __attribute__((vector_size(BYTES)));
static inline V v_fill(float x) { return x - (V){0}; }
static inline M v_fill_mask(int x) { return (M){0} - x; }
static inline V v_max(V a, V b) { return (V)_mmBITS_max_ps(a, b); }
static inline V v_min(V a, V b) { return (V)_mmBITS_min_ps(a, b); }
static inline V v_abs(V x) { return (V)((M)x & 0x7fffffff); }
static inline V v_sqrt(V x) { return (V)_mmBITS_sqrt_ps(x); }
static inline V v_rsqrt(V x) { return 1 / v_sqrt(x); }
static inline V v_select(M c, V a, V b) { return (V)((c & (M)a) | (~c & (M)b)); }
static inline V v_sign(V x) {
    return v_select(x > 0, v_fill(1), v_fill(0)) - v_select(x < 0, v_fill(1), v_fill(0));
}
static inline M v_is_finite(V x) { return v_abs(x) < __builtin_inff(); }
#define v_logistic(x) (1 / (1 + v_exp(-(x))))
"""
