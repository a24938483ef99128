"""The numerics: initial value problems for many patients; knows arrays, never a drug's name."""

from ketjax.solve.integrate import integrate
from ketjax.solve.march import System
from ketjax.solve.mesh import Mesh
from ketjax.solve.methods import RODAS3, RODAS4, RODAS5P, ROS4, Method
from ketjax.solve.solution import Result, Solution, Status

__all__ = [
    "RODAS3",
    "RODAS4",
    "RODAS5P",
    "ROS4",
    "Mesh",
    "Method",
    "Result",
    "Solution",
    "Status",
    "System",
    "integrate",
]
