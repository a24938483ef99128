"""Rosenbrock methods as data.

All are L-stable and carry an embedded error estimate. They are written in the transformed
variables U of Hairer and Wanner (Solving Ordinary Differential Equations II, section IV.7), which
save the products with the Jacobian:

    (I / (gamma h) - J) U_i = f(t + alpha_i h, y + sum_j a_ij U_j) + sum_j c_ij / h U_j
                              + gamma_i h df/dt,                       j < i
    y_new = y + sum_i m_i U_i,        error = sum_i e_i U_i

For a stiffly accurate method the new value is the argument of the last stage plus its U, and the
error estimate is the last U; then ``m`` and ``e`` are left empty.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """One Rosenbrock method in transformed form.

    Attributes:
        name: name in the literature.
        order: order of the solution.
        error_order: order of the embedded solution.
        gamma: diagonal coefficient [1].
        a: rows of the stage arguments, row i with i entries.
        c: rows of the couplings, row i with i entries.
        alpha: stage times as fractions of the step.
        gamma_sum: coefficients of df/dt.
        reference: author, year, DOI.
        m: weights of the new value; empty for a stiffly accurate method.
        e: weights of the error estimate; empty for a stiffly accurate method.
    """

    name: str
    order: int
    error_order: int
    gamma: float
    a: tuple[tuple[float, ...], ...]
    c: tuple[tuple[float, ...], ...]
    alpha: tuple[float, ...]
    gamma_sum: tuple[float, ...]
    reference: str
    m: tuple[float, ...] = ()
    e: tuple[float, ...] = ()

    @property
    def stages(self) -> int:
        """Number of stages."""
        return len(self.a)


RODAS3 = Method(
    name="Rodas3",
    order=3,
    error_order=2,
    gamma=0.5,
    a=((), (0.0,), (2.0, 0.0), (2.0, 0.0, 1.0)),
    c=((), (4.0,), (1.0, -1.0), (1.0, -1.0, -8.0 / 3.0)),
    alpha=(0.0, 0.0, 1.0, 1.0),
    gamma_sum=(0.5, 1.5, 0.0, 0.0),
    reference=(
        "Sandu, Verwer, Blom, Spee, Carmichael, Potra (1997), Benchmarking stiff ODE solvers for"
        " atmospheric chemistry problems II: Rosenbrock solvers, Atmospheric Environment 31:3459,"
        " doi:10.1016/S1352-2310(97)83212-8"
    ),
)

_ROS4_THIRD = (1.867943637803922, 0.2344449711399156)

ROS4 = Method(
    name="Ros4",
    order=4,
    error_order=3,
    gamma=0.57282,
    a=((), (2.0,), _ROS4_THIRD, (*_ROS4_THIRD, 0.0)),
    c=(
        (),
        (-7.137615036412310,),
        (2.580708087951457, 0.6515950076447975),
        (-2.137148994382534, -0.3214669691237626, -0.6949742501781779),
    ),
    alpha=(0.0, 1.14564, 0.65521686381559, 0.65521686381559),
    gamma_sum=(0.57282, -1.769193891319233, 0.7592633437920482, -0.1049021087100450),
    m=(2.255570073418735, 0.2870493262186792, 0.4353179431840180, 1.093502252409163),
    e=(-0.2815431932141155, -0.07276199124934920, -0.1082196201495311, -1.093502252409163),
    reference=(
        "Hairer, Wanner (1996), Solving Ordinary Differential Equations II, Springer, section IV.7,"
        " table 7.2, L-stable method, doi:10.1007/978-3-642-05221-7"
    ),
)

_RODAS4_LAST = (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950)

RODAS4 = Method(
    name="Rodas4",
    order=4,
    error_order=3,
    gamma=0.25,
    a=(
        (),
        (1.544,),
        (0.9466785280815826, 0.2557011698983284),
        (3.314825187068521, 2.896124015972201, 0.9986419139977817),
        _RODAS4_LAST,
        (*_RODAS4_LAST, 1.0),
    ),
    c=(
        (),
        (-5.6688,),
        (-2.430093356833875, -0.2063599157091915),
        (-0.1073529058151375, -9.594562251023355, -20.47028614809616),
        (7.496443313967647, -10.24680431464352, -33.99990352819905, 11.70890893206160),
        (
            8.083246795921522,
            -7.981132988064893,
            -31.52159432874371,
            16.31930543123136,
            -6.058818238834054,
        ),
    ),
    alpha=(0.0, 0.386, 0.21, 0.63, 1.0, 1.0),
    gamma_sum=(0.25, -0.1043, 0.1035, -0.0362, 0.0, 0.0),
    reference=(
        "Hairer, Wanner (1996), Solving Ordinary Differential Equations II, Springer, section IV.7,"
        " code RODAS, doi:10.1007/978-3-642-05221-7"
    ),
)

_RODAS5P_SIXTH = (
    -7.502846399306121,
    2.561846144803919,
    -11.627539656261098,
    -0.18268767659942256,
    0.030198172008377946,
)

RODAS5P = Method(
    name="Rodas5P",
    order=5,
    error_order=4,
    gamma=0.21193756319429014,
    a=(
        (),
        (3.0,),
        (2.849394379747939, 0.45842242204463923),
        (-6.954028509809101, 2.489845061869568, -10.358996098473584),
        (2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641),
        _RODAS5P_SIXTH,
        (*_RODAS5P_SIXTH, 1.0),
        (*_RODAS5P_SIXTH, 1.0, 1.0),
    ),
    c=(
        (),
        (-14.155112264123755,),
        (-17.97296035885952, -2.859693295451294),
        (147.12150275711716, -1.41221402718213, 71.68940251302358),
        (165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306),
        (
            24.854864614690072,
            -3.0009227002832186,
            47.4931110020768,
            5.5814197821558125,
            -0.6610691825249471,
        ),
        (
            30.91273214028599,
            -3.1208243349937974,
            77.79954646070892,
            34.28646028294783,
            -19.097331116725623,
            -28.087943162872662,
        ),
        (
            37.80277123390563,
            -3.2571969029072276,
            112.26918849496327,
            66.9347231244047,
            -40.06618937091002,
            -54.66780262877968,
            -9.48861652309627,
        ),
    ),
    alpha=(
        0.0,
        0.6358126895828704,
        0.4095798393397535,
        0.9769306725060716,
        0.4288403609558664,
        1.0,
        1.0,
        1.0,
    ),
    gamma_sum=(
        0.21193756319429014,
        -0.42387512638858027,
        -0.3384627126235924,
        1.8046452872882734,
        2.325825639765069,
        0.0,
        0.0,
        0.0,
    ),
    reference=(
        "Steinebach (2023), Construction of Rosenbrock-Wanner method Rodas5P and numerical"
        " benchmarks within the Julia Differential Equations package, BIT Numerical Mathematics"
        " 63:27, doi:10.1007/s10543-023-00967-x"
    ),
)
