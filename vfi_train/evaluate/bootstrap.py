"""Whether one network is better than another: paired bootstrap over the samples that both have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from vfi_train.evaluate.columns import COLUMNS, plain_options
from vfi_train.evaluate.results import Result

RESAMPLES = 10_000
LEVEL = 0.95
CHUNK = 500  # resamples at once
MIN_CLUSTERS = 10  # for a verdict
MAX_SCORE = 100.0  # dB in place of the infinite PSNR of equal images


@dataclass(frozen=True)
class Comparison:
    """Two networks in one column of one split of a benchmark.

    Args:
        first, second: their labels.
        split_name, column: what is compared; see `Result.split_name`.
        difference: second minus first, averaged as in the protocol.
        low, high: bounds of its 95 % confidence interval.
        samples: how many both have. `clusters`: pairs of frames (or sequences) that are resampled.
        verdict: the label of the better one; None if the interval contains 0 or the clusters are fewer than ten.
    """

    first: str
    second: str
    split_name: str
    column: str
    difference: float
    low: float
    high: float
    samples: int
    clusters: int
    verdict: str | None

    def sentence(self) -> str:
        """The comparison on a line."""
        digits, unit = COLUMNS[self.column].digits, COLUMNS[self.column].unit
        number = f"{self.difference:+.{digits}f}{f' {unit}' if unit else ''}"
        interval = f"95 % interval {self.low:+.{digits}f} to {self.high:+.{digits}f}"
        what = f"{self.split_name} {COLUMNS[self.column].title}, {self.second} - {self.first}"
        return f"{what}: {number} ({interval}, {self.samples} samples): {self.finding()}"

    def finding(self) -> str:
        """The verdict as text."""
        if self.clusters < MIN_CLUSTERS:
            return "too few samples to tell"
        return "no difference beyond noise" if self.verdict is None else f"{self.verdict} is better"


def compare_all(results: Sequence[Result]) -> list[Comparison]:
    """Every two networks in every column that has the same meaning in both, on each split."""
    found = []
    for first, second in combinations(results, 2):
        if first.label == second.label or first.split_name != second.split_name:
            continue
        for column in first.columns:
            if comparable(first, second, column):
                compared = compare(first, second, column)
                found += [compared] if compared else []
    return found


def comparable(first: Result, second: Result, column: str) -> bool:
    """Whether a column has the same meaning in both: the same variant and average, on the same split.

    One network by two protocols is no comparison of networks.
    """
    a, b = first.settings, second.settings
    networks = [(r.model, r.model_config, r.weights_sha256) for r in (first, second)]
    return (
        first.split_name == second.split_name
        and (networks[0] != networks[1] or first.protocol == second.protocol)
        and column in a["metrics"]
        and column in b["metrics"]
        and plain_options(a["metrics"][column]) == plain_options(b["metrics"][column])
        and a["average"] == b["average"]
    )


def compare(first: Result, second: Result, column: str, seed: int = 0) -> Comparison | None:
    """The difference of two results, with the bounds of its interval; None if they share no sample.

    Pairs of frames with all of their targets are resampled (sequences where the protocol averages over them), because
    errors of neighbouring targets are correlated. Equal images count as 100 dB.
    """
    scores = {row["key"]: row for row in second.samples}
    rows = [(row, scores[row["key"]]) for row in first.samples if row["key"] in scores]
    by_sequence = first.settings["average"] == "sequence"
    clusters: dict[str, list[float]] = {}
    for a, b in rows:
        difference = _finite(b["scores"][column]) - _finite(a["scores"][column])
        if not math.isnan(difference):
            name = first.sequence(a) if by_sequence else a["pair"]
            clusters.setdefault(name, []).append(difference)
    if not clusters:
        return None
    sums = np.array([math.fsum(values) for values in clusters.values()])
    counts = np.array([len(values) for values in clusters.values()], float)
    if by_sequence:  # sequences have equal weights
        sums, counts = sums / counts, np.ones_like(counts)
    drawn = resampled_means(sums, counts, np.random.default_rng(seed))
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    difference = float(sums.sum() / counts.sum())
    verdict = None
    if len(sums) >= MIN_CLUSTERS and (low > 0 or high < 0):
        verdict = second.label if (difference > 0) == COLUMNS[column].higher_is_better else first.label
    return Comparison(
        first.label, second.label, first.split_name, column, difference, float(low), float(high),
        sum(map(len, clusters.values())), len(clusters), verdict,
    )  # fmt: skip


def resampled_means(sums: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Means over clusters drawn with replacement, from the sum and the count of each cluster's values."""
    means = []
    for start in range(0, RESAMPLES, CHUNK):
        drawn = rng.integers(len(sums), size=(min(CHUNK, RESAMPLES - start), len(sums)))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    return np.concatenate(means)


def _finite(score: float) -> float:
    return min(score, MAX_SCORE)
