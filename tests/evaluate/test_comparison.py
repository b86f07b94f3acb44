"""Paired bootstrap: closed forms, SciPy, and clusters of samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from tests.helpers.evaluation import result
from vfi_train.evaluate.bootstrap import comparable, compare, compare_all


def test_a_constant_difference_has_no_width() -> None:
    base = np.arange(20.0)
    found = compare(result("a", base), result("b", base + 0.25), "psnr")
    assert found is not None
    assert (found.difference, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))
    assert (found.verdict, found.samples, found.clusters) == ("b", 20, 20)
    lower = compare(result("a", base, column="ie"), result("b", base + 0.25, column="ie"), "ie")
    assert lower is not None
    assert lower.verdict == "a"  # a lower IE is better


def test_the_interval_is_scipys() -> None:
    rng = np.random.default_rng(1)
    differences = rng.normal(0.2, 0.5, 200)
    found = compare(result("a", np.zeros(200)), result("b", differences), "psnr")
    assert found is not None
    reference = scipy.stats.bootstrap(
        (differences,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high), abs=4e-3)
    assert found.difference == pytest.approx(differences.mean(), abs=1e-12)
    assert found.verdict == "b"


def test_targets_of_a_pair_are_drawn_together() -> None:
    """Seven equal differences in each pair are no more evidence than one: the interval is that of the pairs."""
    rng = np.random.default_rng(3)
    of_pairs = rng.normal(0.0, 1.0, 40)
    one = compare(result("a", np.zeros(40)), result("b", of_pairs), "psnr")
    seven = compare(result("a", np.zeros(280), pair=7), result("b", of_pairs.repeat(7), pair=7), "psnr")
    assert one is not None
    assert seven is not None
    assert (seven.low, seven.high) == pytest.approx((one.low, one.high), abs=1e-12)
    assert (seven.clusters, seven.samples) == (40, 280)
    assert one.verdict is None
    assert "no difference beyond noise" in one.sentence()


def test_sequences_have_equal_weights_where_the_protocol_averages_over_them() -> None:
    scores = np.concatenate([np.full(10, float(i)) for i in range(12)] + [np.full(4, 100.0)])
    settings = {"average": "sequence"}
    found = compare(result("a", np.zeros(124), **settings), result("b", scores, **settings), "psnr")
    assert found is not None
    assert found.clusters == 13
    assert found.difference == pytest.approx((sum(range(12)) + 100) / 13)
    assert found.difference == pytest.approx(result("b", scores, **settings).averages()["psnr"])


def test_few_pairs_give_no_verdict() -> None:
    found = compare(result("a", np.zeros(9)), result("b", np.ones(9)), "psnr")
    assert found is not None
    assert found.verdict is None
    assert "too few samples to tell" in found.sentence()


def test_only_common_samples_and_equal_columns_are_compared() -> None:
    a, b = result("a", np.arange(30.0)), result("b", np.arange(30.0))
    b.samples = b.samples[10:]
    found = compare(a, b, "psnr")
    assert found is not None
    assert found.samples == 20
    rounded = replace(b, settings={**b.settings, "metrics": {"psnr": {"rounded": True}}})
    assert comparable(a, replace(b, settings={**b.settings, "metrics": {"psnr": {"rounded": False}}}), "psnr")
    assert not comparable(a, rounded, "psnr")
    assert not comparable(a, replace(b, split="other"), "psnr")
    assert [c.second for c in compare_all([a, b, rounded])] == ["b"]


def test_equal_images_count_as_a_hundred_decibels() -> None:
    inf = float("inf")
    found = compare(result("a", [inf] * 10 + [30.0] * 10), result("b", [inf] * 10 + [inf] * 10), "psnr")
    assert found is not None
    assert found.difference == pytest.approx(35.0)
