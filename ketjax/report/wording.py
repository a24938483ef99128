"""How a report writes numbers, times and names."""

from collections.abc import Sequence

import numpy as np

ACRONYMS = {"madrs": "MADRS", "bdnf": "BDNF", "mtorc1": "mTORC1", "nmda": "NMDA", "ampa": "AMPA"}
MINUS, DASH = "\u2212", "\u2013"


def number(value: float, digits: int = 1, *, sign: bool = False) -> str:
    """A number with so many decimals, a true minus, and a dash where there is none."""
    if not np.isfinite(value):
        return DASH
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    if not float(text):
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, whatever its size."""
    if not np.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e5:
        return f"{value:.{digits - 1}e}".replace("-", MINUS)
    decimals = max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))
    return number(value, decimals)


def interval(low: float, high: float, digits: int = 1) -> str:
    """An interval with a dash; in words where a minus could be taken for one."""
    if not (np.isfinite(low) and np.isfinite(high)):
        return DASH
    between = " to " if low < 0 or high < 0 else DASH
    return f"{number(low, digits)}{between}{number(high, digits)}"


def when(hour: float) -> str:
    """An hour in words: days from the second day on."""
    if hour >= 48:
        return f"{hour / 24:g} d"
    return f"{hour:g} h" if hour >= 1 or hour == 0 else f"{60 * hour:g} min"


def words(name: object) -> str:
    """A public name as words."""
    return " ".join(ACRONYMS.get(word, word) for word in str(name).replace("_", " ").split(" "))


def listed(items: Sequence[str], last: str = "and") -> str:
    """Items as a list in a sentence."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"
