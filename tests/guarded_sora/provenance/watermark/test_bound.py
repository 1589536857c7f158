import math

import numpy as np
import pytest

from guarded_sora.provenance.watermark.bound import least_x, log10_p, log_tail_bound, quantile, tail


def _weights(seed: int, count: int = 600) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2.0, 1.0, count).astype(np.float32)


def test_bound_is_above_the_exact_tail_of_equal_weights() -> None:
    count = 60
    weights = np.ones(count, dtype=np.float32)
    for ones in (36, 42, 50, 60):
        exact = sum(math.comb(count, k) for k in range(ones, count + 1)) / 2.0**count
        bound = log_tail_bound(weights, 2 * ones - count)
        assert math.log(exact) <= bound + 1e-9
        assert bound < math.log(exact) + 4


def test_bound_is_tighter_than_hoeffding() -> None:
    weights = _weights(1)
    x = 6.0 * float(np.linalg.norm(weights))
    assert log_tail_bound(weights, x) <= -18.0


def test_tail_agrees_with_the_exact_tail() -> None:
    count = 601
    weights = np.ones(count, dtype=np.float32)
    for ones in (320, 330, 340, 350):
        exact = sum(math.comb(count, k) for k in range(ones, count + 1)) / 2.0**count
        # Sums of equal weights lie two apart, so the step begins one below.
        assert tail(weights, 2 * ones - count - 1) == pytest.approx(exact, rel=0.01)


def test_tail_is_calibrated() -> None:
    rng = np.random.default_rng(2)
    weights = _weights(3)
    signs = 1 - 2 * rng.integers(0, 2, (40000, len(weights)), dtype=np.int8)
    sums = signs @ weights
    for p in (1e-1, 1e-2):
        assert tail(weights, float(np.quantile(sums, 1 - p))) == pytest.approx(p, rel=0.1)


@pytest.mark.parametrize("weights", [np.zeros(5), np.array([np.nan, 1.0]), np.array([np.inf]), np.empty(0)])
def test_broken_weights_prove_nothing(weights: np.ndarray) -> None:
    assert log_tail_bound(weights.astype(np.float32), 1e9) == 0.0
    assert tail(weights.astype(np.float32), 1e9) == 1.0


def test_negative_sums_prove_nothing() -> None:
    assert log_tail_bound(_weights(4), -5.0) == 0.0


def test_every_word_and_place_tried_is_paid_for() -> None:
    weights = _weights(5)
    x = 12.0 * float(np.linalg.norm(weights))
    one = log10_p(weights, x, 0.0)
    assert log10_p(weights, x, 40.0) == pytest.approx(one + 40 * math.log10(2))
    assert log10_p(weights, x, 1000.0) == 0.0


@pytest.mark.parametrize("log_p", [-1.0, -35.0, -200.0])
def test_least_x_is_where_the_bound_is_reached(log_p: float) -> None:
    weights = np.random.default_rng(4).rayleigh(1.0, 1912).astype(np.float32)
    x = least_x(weights, log_p)
    assert log_tail_bound(weights, x * 1.0001) <= log_p
    assert log_tail_bound(weights, x * 0.999) > log_p


def test_least_x_that_cannot_be_reached() -> None:
    assert least_x(np.ones(10, dtype=np.float32), -8.0) == np.inf
    assert least_x(np.zeros(10, dtype=np.float32), -1.0) == np.inf


@pytest.mark.parametrize("p", [1e-2, 1e-4, 1e-9])
def test_quantile_undoes_tail(p: float) -> None:
    weights = np.random.default_rng(5).rayleigh(1.0, 1912).astype(np.float32)
    assert tail(weights, quantile(weights, p)) == pytest.approx(p, rel=1e-3)
