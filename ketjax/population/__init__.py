"""Who the patients are: laws of variation, designs of sampling, covariates and populations."""

from ketjax.population.population import (
    COVARIATES,
    DEFAULT_CORRELATIONS,
    SHARED_EFFECTS,
    Population,
    Recipe,
    draw,
)

__all__ = [
    "COVARIATES",
    "DEFAULT_CORRELATIONS",
    "SHARED_EFFECTS",
    "Population",
    "Recipe",
    "draw",
]
