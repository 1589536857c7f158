"""The order of windows: every latent frame is made once it can be, and none is made for nothing."""

from __future__ import annotations

import pytest
import torch

from guarded_sora.generation.given import Canvas, Given
from guarded_sora.generation.windows import OVERLAP, WINDOW, plan_windows


@pytest.mark.parametrize(
    ("total", "begin", "count"),
    [(1, 0, 1), (2, 0, 2), (5, 0, 2), (6, 0, 3), (8, 0, 3), (9, 0, 4), (5, 1, 1), (3, 3, 0)],
)
def test_number_of_passes_without_an_end(total: int, begin: int, count: int) -> None:
    assert len(plan_windows(total, begin=begin)) == count


ENDS = [
    (total, begin, end)
    for total in range(5, 24)
    for begin in range(4)
    for end in (1, 2)
    if begin + end < total  # else nothing is left to make
]


@pytest.mark.parametrize(("total", "begin", "end"), ENDS)
def test_both_ends_meet(total: int, begin: int, end: int) -> None:
    """Each window shares what it needs with what is there, and the film ends where it was told."""
    there = set(range(begin)) | set(range(total - end, total))
    for number, window in enumerate(plan_windows(total, begin=begin, end=end)):
        if window.forget is not None:
            there -= set(range(window.forget, total - end))
        covered = set(range(window.start, window.start + window.length))
        assert covered <= set(range(total + WINDOW))
        assert not number or len(covered & there) >= OVERLAP
        assert covered - there, "something new is made"
        there |= covered - ({window.start} if window.start and window.start not in there else set())
    assert set(range(total)) <= there


def test_a_film_to_be_changed_has_no_picture_of_its_own_first() -> None:
    assert plan_windows(5, still=False)[0].length == WINDOW


def test_a_canvas_keeps_what_was_given_and_fills_the_rest() -> None:
    like = torch.zeros(1, 6, WINDOW, 4, 4)
    given = Given(begin=torch.full((1, 4, 1, 4, 4), 2.0), end=torch.full((1, 4, 1, 4, 4), 3.0))
    canvas = Canvas(given, 5, like, 4)
    (window,) = given.plan(5)
    known, mask = canvas.open(window)
    assert mask[0, :4, [0, 4]].all() and not mask[0, :4, 1:4].any() and not mask[0, 4:].any()
    canvas.close(window, torch.where(mask > 0, known, torch.full_like(known, 7.0)))
    assert canvas.looks[0, 0, :, 0, 0].tolist() == [2.0, 7.0, 7.0, 7.0, 3.0]


def test_what_stands_first_in_a_window_inside_a_film_is_left_out() -> None:
    given = Given(end=torch.full((1, 4, 1, 4, 4), 3.0))
    canvas = Canvas(given, 6, torch.zeros(1, 6, WINDOW, 4, 4), 4)
    for number, window in enumerate(given.plan(6)):
        known, mask = canvas.open(window)
        canvas.close(window, known * mask + (10.0 + number) * (1 - mask))
    assert canvas.looks[0, 0, :, 0, 0].tolist() == [11.0, 11.0, 10.0, 10.0, 10.0, 3.0]


def test_a_masked_film_is_open_in_the_mask_alone() -> None:
    anew = torch.zeros(4, 4, dtype=torch.bool)
    anew[1:3, 1:3] = True
    given = Given(whole=torch.full((1, 4, 5, 4, 4), 2.0), anew=anew)
    canvas = Canvas(given, 5, torch.zeros(1, 6, WINDOW, 4, 4), 4)
    (window,) = given.plan(5)
    known, mask = canvas.open(window)
    assert (mask[0, 0, 0] == (~anew).float()).all() and not mask[0, 4:].any()
    assert (known[0, 0, 0] == 2 * (~anew).float()).all()
