"""Draws by weight, and amounts by the distribution of the configuration."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import accumulate
from math import exp
from typing import Generic, TypeVar

from simulator.config import AmountsConfig

T = TypeVar("T")

#: log-normal, by merchant category: the median in major units, the logarithm's standard deviation
CATEGORIES: Mapping[str, tuple[float, float]] = {
    "retail": (45, 0.9),
    "food_beverage": (18, 0.6),
    "travel": (320, 0.9),
    "entertainment": (25, 0.7),
    "healthcare": (90, 0.8),
    "education": (210, 1.0),
    "other": (40, 1.0),
}
#: what a payment of 1 in another currency is in this one, about
_YEN = 150.0


class Weighted(Generic[T]):
    """Draws values by weight: one binary search, which `random.choices` does not do."""

    def __init__(self, weights: Mapping[T, float] | Iterable[tuple[T, float]]) -> None:
        pairs = list(weights.items() if isinstance(weights, Mapping) else weights)
        self._values: list[T] = [value for value, _ in pairs]
        self._bounds: list[float] = list(accumulate(weight for _, weight in pairs))
        self._whole = self._bounds[-1]

    def draw(self, rng: random.Random) -> T:
        """One value."""
        return self._values[bisect(self._bounds, rng.random() * self._whole)]

    def values(self) -> list[T]:
        """Those that can be drawn, in the order in which they were said."""
        return list(self._values)


def amount_sampler(
    config: AmountsConfig, category: str, currency: str, rng: random.Random
) -> Callable[[], int]:
    """Draws amounts in hundredths of a major unit; whole units where a currency has no others."""
    draw = _DRAWS[config.distribution](config, category, rng)
    factor, step = (_YEN, 100) if currency == "JPY" else (1.0, 1)
    low, high = config.min, config.max

    scale = factor * 100 / step

    def sample() -> int:
        amount = draw()
        while not low <= amount <= high:
            amount = draw()
        return (round(amount * scale) or 1) * step

    return sample


def _by_category(_config: AmountsConfig, category: str, rng: random.Random) -> Callable[[], float]:
    median, spread = CATEGORIES[category]
    draw = rng.gauss  # twice as fast as lognormvariate
    return lambda: median * exp(draw(0, spread))


def _normal(config: AmountsConfig, _category: str, rng: random.Random) -> Callable[[], float]:
    return partial(rng.normalvariate, config.mean or 0.0, config.std_dev or 0.0)


def _uniform(config: AmountsConfig, _category: str, rng: random.Random) -> Callable[[], float]:
    return partial(rng.uniform, config.min, config.max)


def _exponential(config: AmountsConfig, _category: str, rng: random.Random) -> Callable[[], float]:
    return partial(rng.expovariate, 1 / (config.mean or 1.0))


def _bimodal(config: AmountsConfig, _category: str, rng: random.Random) -> Callable[[], float]:
    first, second = config.bimodal_peaks

    def draw() -> float:
        peak = first if rng.random() < first.share else second
        return rng.normalvariate(peak.mean, peak.std_dev)

    return draw


_DRAWS = {
    "by_category": _by_category,
    "normal": _normal,
    "uniform": _uniform,
    "exponential": _exponential,
    "bimodal": _bimodal,
}
