"""Shares of an effect: Shapley values over mechanisms that are on or off."""

import math

import numpy as np
from numpy.typing import NDArray


def coalitions(mechanisms: int) -> NDArray[np.bool_]:
    """Every combination of mechanisms that are on.

    Args:
        mechanisms: How many there are.

    Returns:
        Marks of shape (2^mechanisms, mechanisms); row c holds the bits of c, the first mechanism
        in the lowest.
    """
    numbers = np.arange(2**mechanisms)
    return (numbers[:, None] >> np.arange(mechanisms)) & 1 == 1


def shapley(effects: NDArray[np.floating]) -> NDArray[np.floating]:
    """Shapley values: what each mechanism adds, averaged over all orders of switching them on.

    Equation:
        phi_i = sum over S without i of |S|! (k - |S| - 1)!/k! (v(S + i) - v(S))

    Args:
        effects: v, effect of each row of `coalitions`, shape (2^k, ...).

    Returns:
        Shares of shape (k, ...); they add to the effect with all on less that with none.

    Raises:
        ValueError: The number of effects is no power of two.
    """
    mechanisms = int(effects.shape[0]).bit_length() - 1
    if effects.shape[0] != 2**mechanisms:
        raise ValueError(f"{effects.shape[0]} effects: 2^k are needed for k mechanisms")
    on = coalitions(mechanisms)
    sizes = on.sum(axis=1)
    weights = np.array(
        [math.factorial(size) * math.factorial(mechanisms - size - 1) for size in range(mechanisms)]
    ) / math.factorial(mechanisms)
    shares = []
    for i in range(mechanisms):
        without = np.flatnonzero(~on[:, i])
        gained = effects[without + 2**i] - effects[without]
        shares.append(np.tensordot(weights[sizes[without]], gained, axes=1))
    return np.array(shares)


def one_against_the_rest(effects: NDArray[np.floating], player: int) -> NDArray[np.floating]:
    """Shapley values of two players: one mechanism, and all others switched together.

    Splitting one of the two into many parts gives it more orders in which to come first; this is
    the division that does not depend on how finely the others are counted.

    Args:
        effects: v, effect of each row of `coalitions`, shape (2^k, ...).
        player: Place of the mechanism.

    Returns:
        Shares of shape (2, ...), the mechanism's first.
    """
    everything, own = effects.shape[0] - 1, 2**player
    return shapley(effects[[0, own, everything - own, everything]])
