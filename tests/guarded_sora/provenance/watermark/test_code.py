from itertools import islice, pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from guarded_sora.provenance.watermark.code import ConvolutionalCode

CODE = ConvolutionalCode()
TAIL = np.array([0, 0, 1, 0, 0, 1, 0, 1], dtype=np.uint8)


def _word(seed: int) -> np.ndarray:
    return np.concatenate([np.random.default_rng(seed).integers(0, 2, 56).astype(np.uint8), TAIL])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_clean_word_is_read(seed: int) -> None:
    bits = _word(seed)
    soft = CODE.encode(bits).astype(np.float32)
    assert np.array_equal(next(CODE.words(soft, TAIL)), bits)


def test_noise_is_corrected() -> None:
    """One coded bit in five wrong before decoding."""
    rng = np.random.default_rng(3)
    good = 0
    for seed in range(20):
        bits = _word(seed)
        clean = CODE.encode(bits)
        soft = clean + 1.2 * rng.standard_normal(len(clean))
        good += np.array_equal(next(CODE.words(soft.astype(np.float32), TAIL)), bits)
    assert good >= 19


def test_list_is_sorted_without_repeats_and_starts_with_the_best() -> None:
    rng = np.random.default_rng(5)
    for _ in range(5):
        soft = rng.standard_normal(64 * CODE.rate).astype(np.float32)
        words = list(islice(CODE.words(soft, TAIL), 40))
        scores = [float(CODE.encode(word) @ soft) for word in words]
        assert all(a >= b - 1e-3 for a, b in pairwise(scores))
        assert len({word.tobytes() for word in words}) == 40
        assert all(np.array_equal(word[-8:], TAIL) for word in words)


def test_list_agrees_with_exhaustive_search() -> None:
    code = ConvolutionalCode(generators=(0o7, 0o5), constraint=3)
    tail = np.array([1, 0], dtype=np.uint8)
    soft = np.random.default_rng(8).standard_normal(2 * 10).astype(np.float32)
    every = []
    for value in range(256):
        bits = np.array([value >> shift & 1 for shift in range(8)] + [1, 0], dtype=np.uint8)
        every.append((float(code.encode(bits) @ soft), bits.tobytes()))
    every.sort(reverse=True)
    words = [word.tobytes() for word in code.words(soft, tail)]
    assert words[:50] == [item[1] for item in every[:50]]
    assert len(words) == 256


def test_second_word_is_found_where_the_first_is_wrong() -> None:
    rng = np.random.default_rng(11)
    first, listed = 0, 0
    for seed in range(60):
        bits = _word(seed)
        soft = (CODE.encode(bits) + 2.0 * rng.standard_normal(64 * CODE.rate)).astype(np.float32)
        words = list(islice(CODE.words(soft, TAIL), 32))
        first += np.array_equal(words[0], bits)
        listed += any(np.array_equal(word, bits) for word in words)
    assert listed > first


def test_best_is_the_score_of_the_first_word() -> None:
    soft = np.random.default_rng(21).standard_normal((7, 64 * CODE.rate)).astype(np.float32)
    best = CODE.best(soft, TAIL)
    for row, score in zip(soft, best, strict=True):
        first = next(CODE.words(row, TAIL))
        assert np.isclose(float(CODE.encode(first) @ row), score, rtol=1e-5)


def test_limited_list_is_the_beginning_of_the_whole() -> None:
    soft = np.random.default_rng(22).standard_normal(64 * CODE.rate).astype(np.float32)
    whole = [word.tobytes() for word in islice(CODE.words(soft, TAIL), 32)]
    assert [word.tobytes() for word in CODE.words(soft, TAIL, 32)] == whole
