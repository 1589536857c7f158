"""Films of two objects and of styles: drawn as their captions say, and known again by the judge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from guarded_sora.generation.reading import read_prompt
from guarded_sora.generation.shapes import BASE_SHAPES
from guarded_sora.generation.vocabulary import BACKGROUNDS, EVENTS, RELATIONS, STYLES
from guarded_sora.training.drawing import caption, draw_any, draw_film, draw_pair, draw_style, tokens
from guarded_sora.training.judge import course_error, judge
from guarded_sora.training.judge_pairs import judge_pair
from guarded_sora.training.styles import apply_style
from guarded_sora.training.world import held_out_pair, held_out_style, layout, render


def test_every_caption_reads_back_to_its_film() -> None:
    rng = np.random.default_rng(0)
    for _ in range(400):
        film = draw_any(rng)
        reading = read_prompt(caption(film, rng))
        assert reading.in_domain, reading.warnings
        assert reading.tokens == tokens(film)


def test_training_never_draws_pairs_or_styles_that_are_held_out() -> None:
    rng = np.random.default_rng(1)
    for film in (draw_any(rng) for _ in range(400)):
        if film.other is not None:
            assert not held_out_pair(film.subject.object, film.other.object)
        if film.style is not None:
            assert not held_out_style(film.subject.object, film.style)
    for _ in range(20):
        film = draw_pair(rng, held=True)
        assert film.other is not None and held_out_pair(film.subject.object, film.other.object)


@pytest.mark.parametrize("relation", RELATIONS)
def test_pairs_stand_and_move_as_named(relation: str) -> None:
    film = draw_pair(np.random.default_rng(2), ("ball", "robot"), relation)
    (ax, ay, *_), (bx, by, *_) = (thing.pose(0) for thing in (film.subject, film.other) if thing)
    side = {"left": bx - ax, "right": ax - bx, "above": by - ay, "below": ay - by}
    if relation in side:
        assert side[relation] > 0.3
    assert film.subject.object == "ball"
    assert (film.things[0].object == "robot") == (relation == "front"), "what is in front is drawn last"
    assert (film.motion is None) == (relation in EVENTS)


@pytest.mark.parametrize("relation", RELATIONS)
def test_the_judge_sees_the_relation_of_real_films_and_no_other(relation: str) -> None:
    film = draw_pair(np.random.default_rng(5), ("ball", "cactus"), relation)
    film = replace(film, background="snow")
    shown = render(film, side=128)[0]
    assert judge_pair(shown, film).relation
    opposite = {"left": "right", "right": "left", "above": "below", "below": "above", "beside": "above",
                "hit": "behind", "behind": "front", "front": "behind"}[relation]  # fmt: skip
    assert not judge_pair(shown, replace(film, relation=opposite)).relation


def test_the_judge_of_pairs_sees_what_vanished_and_what_is_another_thing() -> None:
    film = replace(draw_pair(np.random.default_rng(6), ("dog", "mushroom"), "left"), background="meadow")
    shown = render(film, side=128)[0]
    sight = judge_pair(shown, film)
    assert sight.kept and sight.objects == (True, True)
    alone = render(replace(film, things=film.things[:1], relation=None), side=128)[0]
    assert not judge_pair(np.concatenate([shown[:12], alone[12:]]), film).kept
    other = draw_pair(np.random.default_rng(6), ("owl", "pizza"), "left")
    assert judge_pair(render(other, side=128)[0], film).objects == (False, False)


def test_a_film_of_one_object_is_not_judged_as_a_pair() -> None:
    film = draw_film(np.random.default_rng(0))
    with pytest.raises(ValueError, match="one object"):
        judge_pair(render(film, side=64)[0], film)


@pytest.mark.parametrize("style", STYLES)
def test_styles_change_the_picture_and_are_known_again(style: str) -> None:
    for index, place in enumerate(BACKGROUNDS[:3]):
        film = draw_film(np.random.default_rng(index), ("star", "red", place, "left"))
        plain, styled = (render(f, side=128)[0] for f in (film, replace(film, style=style)))
        assert np.abs(plain.astype(int) - styled).mean() > 0.5
        assert judge(styled).style == style and judge(plain).style is None


def test_a_style_nobody_knows_is_refused() -> None:
    with pytest.raises(KeyError):
        apply_style(np.zeros((4, 4, 3), np.float32), "oil")


def test_an_object_held_out_of_every_style_stays_plain() -> None:
    film = draw_film(np.random.default_rng(0))
    held = [s for s in STYLES if held_out_style(film.subject.object, s)]
    drawn = draw_style(np.random.default_rng(0), film, held=True)
    assert drawn.style in (held or [None])


@pytest.mark.parametrize("shape", BASE_SHAPES[1:], ids=lambda shape: f"{shape[0]}x{shape[1]}")
def test_other_shapes_show_the_same_world(shape: tuple[int, int]) -> None:
    film = draw_film(np.random.default_rng(8), ("heart", "blue", "beach", "rise"))
    pictures, cover = render(film, side=shape)
    assert pictures.shape[1:3] == cover.shape[2:] == shape
    sight = judge(pictures)
    assert (sight.object, sight.colour, sight.background, sight.motion) == film.combination
    where = layout(film, shape[0] // 8, shape[1] // 8)
    assert where.shape == (17, 4, shape[0] // 8, shape[1] // 8) and not where[:, 2:].any()


@pytest.mark.parametrize("motion", ["fall", "bounce"])
def test_the_law_of_motion_is_told_from_another(motion: str) -> None:
    film = draw_film(np.random.default_rng(9), ("ball", "red", "snow", motion))
    shown = render(film, side=128)[0]
    assert course_error(shown, motion) < 0.01
    assert course_error(shown, "fall" if motion == "bounce" else "bounce") > 0.05
