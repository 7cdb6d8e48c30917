"""How often normal footage raises a false alarm at a threshold: peaks over threshold, with an honest interval.

Event peaks X over a high level u are taken as generalised Pareto, P(X > x | X > u) = (1 + xi (x - u) / sigma)^(-1/xi)
(Pickands 1975; Coles 2001, section 4.2), and come as a Poisson process of rate lambda. The rate of alarms at a threshold
is then rate(x) = lambda P(X > x | X > u) (Coles 2001, section 4.3.3). Neither xi, sigma nor lambda is known well from an
hour of footage, so that no single fit is trusted: the rate has a posterior distribution, computed on a grid of (xi, sigma)
with lambda's gamma in closed form. The threshold for a budget is where the posterior's median meets the budget; the
interval is its 2.5 % and 97.5 % quantiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

MIN_PEAKS = 30
"""Below this many peaks the tail's shape cannot be told, and thresholds are those of an exponential tail (xi = 0)."""
MIN_FOR_TAIL = 5
"""Below this many there is no tail at all: the threshold is the highest peak with a margin."""
SHARE_OF_PEAKS = 0.3
MAX_PEAKS = 200
SHAPE_DEVIATION = 0.2
"""Prior of xi: normal, mean 0. Bounded scores have xi < 0, and a score with xi > 0.4 would have no variance to speak of."""
MARGIN = 1.25
INTERVAL = (0.025, 0.975)
LEAST_WEIGHT = 1e-12
"""Of a grid point of the posterior: together those below it weigh less than 5e-9."""

Float64Array = npt.NDArray[np.float64]
_SHAPES = np.arange(-24, 25) / 40  # -0.6 to 0.6, with 0 exactly
_LOG_SCALES = np.linspace(-1.6, 1.6, 97)


@dataclass(frozen=True)
class RateModel:
    """The alarm rate as a function of the threshold.

    Attributes:
        base: u, the level over which the tail is modelled.
        count: peaks over ``base``.
        exposure_s: seconds of footage that gave them.
        shapes, scales, weights: (K,) the posterior of (xi, sigma) on a grid; weights sum to 1.
        shape_known: whether there were peaks enough to tell the tail's shape.
    """

    base: float
    count: int
    exposure_s: float
    shapes: Float64Array
    scales: Float64Array
    weights: Float64Array
    shape_known: bool

    def rate_quantile(self, threshold: float, probability: float) -> float:
        """Quantile of the posterior of the alarms per second at ``threshold`` (at least ``base``)."""
        survival = tail_survival(max(threshold - self.base, 0.0) / self.scales, self.shapes)
        positive = (survival > 0) & (self.weights > LEAST_WEIGHT)
        shares, survival = self.weights[positive], survival[positive]
        nothing = 1.0 - shares.sum()  # the tails that end below the threshold, and those of no weight
        if probability <= nothing or not len(shares):
            return 0.0

        def excess(log_rate: float) -> float:
            # lambda | count ~ Gamma(count + 1/2, exposure): Jeffreys' prior of a Poisson rate
            below = special.gammainc(self.count + 0.5, np.exp(log_rate) * self.exposure_s / survival)
            return float(nothing + shares @ below) - probability

        most = np.log(4 * (self.count + 10) / self.exposure_s)
        if excess(most - 80.0) > 0:
            return 0.0
        return float(np.exp(optimize.brentq(excess, most - 80.0, most, xtol=1e-4)))

    @property
    def method(self) -> str:
        """How thresholds are derived."""
        return "generalised Pareto" if self.shape_known else "exponential"

    def threshold_for(self, rate_hz: float) -> float:
        """The lowest threshold, at least ``base``, whose median rate is at most ``rate_hz``.

        Where the shape is not known it is that of the exponential tail; the rate's interval stays that of all shapes.
        """
        model = self if self.shape_known else self._exponential()

        def excess(threshold: float) -> float:
            return model.rate_quantile(threshold, 0.5) - rate_hz

        if excess(self.base) <= 0:
            return self.base
        spread = float(self.weights @ self.scales)
        reach = next((r for r in 2.0 ** np.arange(1, 40) if excess(self.base + r * spread) <= 0), 2.0**40)
        return float(optimize.brentq(excess, self.base, self.base + reach * spread, xtol=1e-6 * spread))

    def _exponential(self) -> RateModel:
        only = self.shapes == 0
        weights = self.weights[only]
        return replace(self, shapes=self.shapes[only], scales=self.scales[only], weights=weights / weights.sum())


def fit_rate(peaks: Sequence[float], exposure_s: float) -> RateModel:
    """The rate model of declustered event peaks.

    The base is the (k+1)-th highest peak, k = 30 % of the peaks within 30..200: a tail needs peaks that are far out, and
    enough of them. With fewer than 30 peaks all but the lowest serve, and the tail's shape is 0.

    Raises:
        ValueError: fewer than MIN_FOR_TAIL peaks, or no footage.
    """
    ordered = np.sort(np.asarray(peaks, dtype=np.float64))[::-1]
    if len(ordered) < MIN_FOR_TAIL or not exposure_s > 0:
        raise ValueError(f"{len(ordered)} peaks in {exposure_s:g} s give no tail")
    enough = len(ordered) > MIN_PEAKS
    kept = int(np.clip(SHARE_OF_PEAKS * len(ordered), MIN_PEAKS, MAX_PEAKS)) if enough else len(ordered) - 1
    base = float(ordered[kept])
    excesses = np.maximum(ordered[:kept] - base, 1e-9 * max(abs(base), 1.0))
    return RateModel(base, kept, exposure_s, *_posterior(excesses), shape_known=enough)


def _posterior(excesses: Float64Array) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Grid points and weights of (xi, sigma) given the excesses over the base: flat in log sigma, normal in xi."""
    xi, log_scale = (a.ravel() for a in np.meshgrid(_SHAPES, np.log(excesses.mean()) + _LOG_SCALES, indexing="ij"))
    sigma = np.exp(log_scale)
    log_likelihood = tail_log_density(excesses[:, None] / sigma, xi).sum(axis=0) - len(excesses) * np.log(sigma)
    log_weight = log_likelihood - 0.5 * (xi / SHAPE_DEVIATION) ** 2
    weights = np.exp(log_weight - log_weight.max())
    return xi, sigma, weights / weights.sum()


def tail_survival(x: Float64Array, xi: Float64Array) -> Float64Array:
    """P(X > x) of the generalised Pareto distribution of scale 1 (eq. 4.2, Coles 2001): 0 beyond a bounded one's end."""
    return np.asarray(np.exp(-_log_growth(x, xi)))


def tail_log_density(x: Float64Array, xi: Float64Array) -> Float64Array:
    """Logarithm of the generalised Pareto density of scale 1, xi over -1; -inf beyond a bounded one's end."""
    return np.asarray(-(1.0 + xi) * _log_growth(x, xi))


def _log_growth(x: Float64Array, xi: Float64Array) -> Float64Array:
    """log(1 + xi x) / xi, which is x for xi = 0; infinite where 1 + xi x is not positive."""
    inside = np.maximum(xi * x, -1.0)
    with np.errstate(divide="ignore"):
        return np.where(xi == 0, x, np.log1p(inside) / np.where(xi == 0, 1.0, xi))


def rate_bound_hz(alarms: int, exposure_s: float) -> float:
    """Upper 95 % bound of a Poisson rate of which ``alarms`` were seen: 3 / T for none (the rule of three)."""
    return poisson_mean_quantile(0.95, alarms + 1) / exposure_s


def poisson_mean_quantile(probability: float, shape: float) -> float:
    """Quantile of the Gamma(``shape``, 1) distribution, half of chi-square's with twice the degrees (eq. 7, Garwood 1936).

    With ``shape`` n + 1 the upper limit of a Poisson mean of which n were seen, with n the lower one, with n + 1/2 Jeffreys'
    posterior.
    """
    return float(special.gammaincinv(shape, probability))
