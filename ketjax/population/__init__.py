"""Who the patients are: draws from the laws of variation, designs of sampling, populations."""

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
