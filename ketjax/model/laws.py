"""Laws of variation between patients: data only; `population.distributions` draws from them.

With z standard normal, v the typical value (or the law's own centre) and u = Phi(z) uniform:

    fixed         v
    log-normal    offset + (v - offset) exp(s z),  s = sqrt(ln(1 + CV^2)) or given; at most `cap`
    logit-normal  logistic(c + s z),  c = logit(v) or the law's own centre on the logit scale
    normal        c + s z
    uniform       low + (high - low) u
    log-uniform   low (high/low)^u
    categorical   0, 1, 2 ... with the stated shares, in order of u

A law with `low` and `high` is truncated there through its distribution function.
"""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Law:
    """How one parameter varies between patients; `spread` is s above."""

    kind: str
    spread: float = 0.0
    centre: float | None = None
    offset: float = 0.0
    cap: float | None = None
    low: float | None = None
    high: float | None = None
    shares: tuple[float, ...] = ()

    def __str__(self) -> str:
        """Short form for tables."""
        if self.kind == "fixed":
            return "fixed"
        if self.kind == "categorical":
            return f"categorical({', '.join(f'{share:g}' for share in self.shares)})"
        if self.kind in ("uniform", "log-uniform"):
            return f"{self.kind}({self.low:g}, {self.high:g})"
        details = f"{self.spread:.3g}"
        details += f", centre {self.centre:g}" if self.centre is not None else ""
        details += f", offset {self.offset:g}" if self.offset else ""
        details += f", at most {self.cap:g}" if self.cap is not None else ""
        if self.low is not None and self.high is not None:
            details += f", within {self.low:g} to {self.high:g}"
        elif self.low is not None:
            details += f", at least {self.low:g}"
        elif self.high is not None:
            details += f", at most {self.high:g}"
        return f"{self.kind}({details})"


FIXED = Law("fixed")


def lognormal(
    cv: float | None = None,
    *,
    log_sd: float | None = None,
    centre: float | None = None,
    offset: float = 0.0,
    cap: float | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Law:
    """Log-normal law from its coefficient of variation [1] or the SD of the logarithm [1]."""
    if (cv is None) == (log_sd is None):
        raise ValueError("give either cv or log_sd")
    spread = math.sqrt(math.log1p(cv**2)) if cv is not None else log_sd
    assert spread is not None
    return Law("log-normal", spread, centre=centre, offset=offset, cap=cap, low=low, high=high)


def logit_normal(sd: float, *, centre: float | None = None) -> Law:
    """Logit-normal law with SD and, if it is not the typical value's, centre on the logit scale."""
    return Law("logit-normal", sd, centre=centre)


def normal(
    sd: float,
    *,
    centre: float | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Law:
    """Normal law with SD, and mean if it is not the typical value, in the parameter's unit."""
    return Law("normal", sd, centre=centre, low=low, high=high)


def uniform(low: float, high: float) -> Law:
    """Uniform law between two bounds in the parameter's unit."""
    return Law("uniform", low=low, high=high)


def loguniform(low: float, high: float) -> Law:
    """Log-uniform law between two positive bounds in the parameter's unit."""
    return Law("log-uniform", low=low, high=high)


def categorical(*shares: float) -> Law:
    """Categories 0, 1, 2 ... with shares [1] that add to 1."""
    if abs(sum(shares) - 1) > 1e-9:
        raise ValueError(f"shares must add to 1, they add to {sum(shares)!r}")
    return Law("categorical", shares=shares)
