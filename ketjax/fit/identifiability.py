"""Which combinations of the free numbers the data tell apart, in words.

Each number is measured in SDs of its own prior, and those whose class has a value in common along
directions in which their priors are independent. Then the priors' information is one in every
direction, and an eigenvalue of the data's says how many times as much as the priors the data say
about a direction: an eigenvalue of one is as much. How a number is transformed, and its unit, do
not matter.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import xarray as xr

from ketjax.fit.uncertainty import Floats, Information, scales_of

FLAT = 1.0  # data below this many times the prior: a flat direction
STIFF = 10.0  # data above this: a stiff one, between the two it is sloppy; assumed
NAMED = 0.05  # least share of a direction with which a number is named; assumed
MOST_NAMED = 4  # numbers of a direction that a sentence names; assumed
SAYING = {
    "flat": ("the targets hardly tell them apart", "the targets hardly tell it"),
    "sloppy": ("the targets tell them apart loosely", "the targets tell it loosely"),
    "stiff": ("the targets tell this well", "the targets tell this well"),
}


@dataclasses.dataclass(frozen=True)
class Direction:
    """One direction of the data's information, numbers in SDs of their priors.

    Attributes:
        eigenvalue: What the data say about it, over what the priors say [1].
        kind: "flat", "sloppy" or "stiff".
        participants: Number, share (its squared loading) and sign of those that take part, largest
            first; the largest has the sign +1.
        structural: Whether the data say nothing at all, to the precision of the derivatives.
    """

    eigenvalue: float
    kind: str
    participants: tuple[tuple[str, float, int], ...]
    structural: bool

    @property
    def text(self) -> str:
        """The direction and what is known of it, as a sentence."""
        named = self.participants[:MOST_NAMED]
        moves = {sign: [name for name, _, one in named if one == sign] for sign in (1, -1)}
        words = f"{_listed(moves[1])} up"
        if moves[-1]:
            words += f" with {_listed(moves[-1])} down"
        elif len(moves[1]) > 1:
            words = f"{_listed(moves[1])} up together"
        if more := len(self.participants) - len(named):
            words += f" (and {more} more)"
        saying = SAYING[self.kind][len(self.participants) == 1]
        if self.structural:
            saying = "the targets cannot tell, however exact they are"
        return f"{words}: {saying} (data {_times(self.eigenvalue)})"


@dataclasses.dataclass(frozen=True, eq=False)
class Spectrum:
    """All directions, the stiffest first.

    Attributes:
        names: Of the free numbers.
        eigenvalues: Of the data's information over that of the priors, falling, shape (free,).
        vectors: Directions as rows of length one in SDs of the priors, shape (direction, free).
        rank: Directions about which the data say anything, to the precision of the derivatives.
        tolerance: That precision: singular values below it times the largest count as zero.
        directions: The same in words.
        unseen: Numbers about which the data say less than the prior even if all others are known.
        ridges: Flat directions among all other numbers, the flattest first: each of these would be
            seen if the others were known, so one makes up for another.
    """

    names: tuple[str, ...]
    eigenvalues: Floats
    vectors: Floats
    rank: int
    tolerance: float
    directions: tuple[Direction, ...]
    unseen: tuple[str, ...]
    ridges: tuple[Direction, ...]

    def dataset(self) -> xr.Dataset:
        """Eigenvalues and loadings with names: `eigenvalue`, `loading`, `kind`, `text`."""
        return xr.Dataset(
            {
                "eigenvalue": ("direction", self.eigenvalues),
                "loading": (("direction", "number"), self.vectors),
                "kind": ("direction", [one.kind for one in self.directions]),
                "text": ("direction", [one.text for one in self.directions]),
            },
            coords={"number": list(self.names), "direction": np.arange(len(self.names)) + 1},
            attrs={"rank": self.rank, "tolerance": self.tolerance},
        )


def spectrum(found: Information, precision: float | None = None) -> Spectrum:
    """Eigenvalues and directions of what the data say, against the priors.

    Equation:
        A = M'Jd'Jd M,  M = D root of the priors (`Scales`);  A w = lambda w,  v = root w / |root w|
        share of a number in a direction: v_k^2
        flat: lambda < 1;  sloppy: 1 to 10;  stiff: above 10
        unseen: (Jd'Jd)_kk < that of the priors

    Args:
        found: Information at the optimum.
        precision: Relative precision of the derivatives, below which a singular value counts as
            zero; of float64 and the size of the matrix if not given.

    Returns:
        The spectrum, the stiffest direction first.
    """
    rounding = max(found.jacobian.shape) * float(np.finfo(np.float64).eps)
    least = rounding if precision is None else precision
    singular, vectors, rank, directions = _directions(
        found.names, found.jacobian, found.prior, least
    )
    seen = np.diag(found.data) >= FLAT * np.diag(found.prior)
    unseen = tuple(name for name, one in zip(found.names, seen, strict=True) if not one)
    others = tuple(name for name in found.names if name not in unseen)
    ridges: tuple[Direction, ...] = ()
    if others:
        part = found.prior[np.ix_(seen, seen)]
        ridges = _directions(others, found.jacobian[:, seen], part, least)[3]
        ridges = tuple(one for one in reversed(ridges) if one.kind == "flat")
    return Spectrum(found.names, singular**2, vectors, rank, least, directions, unseen, ridges)


def _directions(
    names: tuple[str, ...], jacobian: Floats, prior: Floats, precision: float
) -> tuple[Floats, Floats, int, tuple[Direction, ...]]:
    """Singular values, directions as rows, rank, and the directions in words."""
    numbers, scales = len(names), scales_of(prior)
    scaled = jacobian / scales.slope @ scales.root
    # With rows of zeros for those that fewer residuals than numbers leave out.
    padded = np.vstack([scaled, np.zeros((max(0, numbers - len(scaled)), numbers))])
    _, singular, vectors = np.linalg.svd(padded, full_matrices=False)
    vectors = vectors @ scales.root
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rank = int(np.sum(singular > precision * singular[0])) if singular[0] > 0 else 0
    largest = np.abs(vectors).argmax(axis=1)
    vectors = vectors * np.sign(vectors[np.arange(numbers), largest])[:, None]
    directions = tuple(
        _direction(names, float(size**2), vector, k >= rank)
        for k, (size, vector) in enumerate(zip(singular, vectors, strict=True))
    )
    return singular, vectors, rank, directions


def _direction(
    names: tuple[str, ...], eigenvalue: float, vector: Floats, structural: bool
) -> Direction:
    """One eigenvector, with those that take part in it."""
    kind = "flat" if eigenvalue < FLAT else "sloppy" if eigenvalue <= STIFF else "stiff"
    order = np.argsort(-(vector**2), kind="stable")
    participants = tuple(
        (names[k], float(vector[k] ** 2), 1 if vector[k] >= 0 else -1)
        for k in order
        if vector[k] ** 2 >= NAMED
    )
    return Direction(eigenvalue, kind, participants, structural)


def _listed(names: list[str]) -> str:
    """Names as a sentence has them."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _times(eigenvalue: float) -> str:
    """How much the data say beside the prior, with two digits."""
    if eigenvalue < 1e-9:
        return "nothing, all by the prior"
    if eigenvalue < 1:
        return f"{eigenvalue:.2g} of the prior"
    return f"{eigenvalue:.3g} times the prior"
