from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from guarded_sora.generation.vocabulary import (
    BACKGROUNDS,
    CAMERAS,
    COLOURS,
    MOTIONS,
    NATURAL,
    OBJECTS,
    TINTABLE,
)
from guarded_sora.training.drawing import caption, draw_film
from guarded_sora.training.judge import judge
from guarded_sora.training.places import background
from guarded_sora.training.sprites import CELL, PALETTE, sprite
from guarded_sora.training.world import (
    COURSES,
    DROP_TIME,
    PAN,
    RESTITUTION,
    ZOOM,
    View,
    combinations,
    held_out,
    layout,
    render,
    view,
    viewed,
)


def test_pictures_have_the_asked_for_shape_and_the_object_covers_a_part() -> None:
    film = draw_film(np.random.default_rng(0))
    pictures, cover = render(film, side=64)
    assert pictures.shape == (17, 64, 64, 3) and pictures.dtype == np.uint8
    assert cover.shape == (2, 17, 64, 64) and 0.02 < (cover[0] > 128).mean() < 0.5 and not cover[1].any()


def test_same_film_same_pictures() -> None:
    film = draw_film(np.random.default_rng(1))
    assert np.array_equal(render(film, side=64)[0], render(film, side=64)[0])


def test_parts_of_a_film_are_cut_from_the_whole() -> None:
    film = draw_film(np.random.default_rng(2))
    whole, _ = render(film, side=64)
    part, _ = render(film, side=64, first=5, count=4)
    assert np.array_equal(whole[5:9], part)


def test_sizes_show_the_same_film() -> None:
    film = draw_film(np.random.default_rng(3))
    large, _ = render(film, side=256, count=1)
    small, _ = render(film, side=128, count=1)
    halved = large[0].reshape(128, 2, 128, 2, 3).mean((1, 3))
    assert np.abs(halved - small[0]).mean() < 3


@pytest.mark.parametrize("motion", MOTIONS)
def test_motions_move_as_named(motion: str) -> None:
    film = draw_film(np.random.default_rng(4), ("ball", "red", "snow", motion))
    x0, y0, s0, a0 = film.subject.pose(0)
    x1, y1, s1, a1 = film.subject.pose(16)
    moved = {"left": x0 - x1, "right": x1 - x0, "rise": y0 - y1, "fall": y1 - y0, "grow": s1 - s0,
             "shrink": s0 - s1, "spin": (a1 - a0) / 360}  # fmt: skip
    falls = ("fall", "bounce")
    assert all(
        (value > 0.2) == (name == motion or {name, motion} == set(falls)) for name, value in moved.items()
    )


def test_what_bounces_obeys_gravity_and_loses_height_at_each_flight() -> None:
    way = np.array([COURSES["bounce"](t) for t in np.linspace(0, 1, 2001)])
    assert way.min() >= 0 and way.max() <= 1 and way[0] == 0
    acceleration = np.diff(way, 2) * 2000**2
    flying = np.abs(np.diff(way, 2)) < 1e-4  # everywhere but at the ground
    assert np.allclose(acceleration[flying], 2 / DROP_TIME**2, rtol=1e-3)
    second = way[int(2000 * DROP_TIME) :]
    assert 1 - second.min() == pytest.approx(RESTITUTION**2, rel=1e-3)


def test_a_blow_stops_one_and_moves_the_other_on() -> None:
    striking, struck = (
        np.array([COURSES[name](t) for t in np.linspace(0, 1, 101)]) for name in ("striking", "struck")
    )
    assert ((np.diff(striking) > 1e-9) != (np.diff(struck) > 1e-9)).mean() > 0.85
    assert struck[40] == 0 and striking[50] == 1


def test_training_never_draws_what_is_held_out() -> None:
    rng = np.random.default_rng(5)
    assert not any(held_out(*draw_film(rng).combination) for _ in range(500))
    assert all(held_out(*draw_film(rng, held=True).combination) for _ in range(50))


def test_sprites_are_premultiplied_and_take_the_tint() -> None:
    for name in OBJECTS:
        rgba = sprite(name, "blue" if name in TINTABLE else None)
        assert rgba.shape == (CELL, CELL, 4)
        assert (rgba[..., :3] <= rgba[..., 3:] + 1e-3).all()
        assert 0.15 < (rgba[..., 3] > 0.5).mean() < 0.95
    for colour in COLOURS:
        heart = sprite("heart", colour)
        usual = np.median(heart[heart[..., 3] > 0.9][:, :3], 0)
        assert np.abs(usual * 255 - PALETTE[colour]).max() < 3


def test_places_differ_from_each_other() -> None:
    for a in BACKGROUNDS:
        for b in BACKGROUNDS:
            assert a == b or np.abs(background(a, 64, 64) - background(b, 64, 64)).mean() > 0.08


def test_unknown_place_is_refused() -> None:
    with pytest.raises(ValueError):
        background("moon", 64, 64)


def test_the_plainest_caption_is_plain() -> None:
    film = draw_film(np.random.default_rng(6), ("balloon", "red", "beach", "rise"))
    assert caption(film) == "a red balloon rising over a beach"


@pytest.mark.parametrize("index", range(0, 24, 3))
def test_the_judge_recognises_real_films(index: int) -> None:
    name = OBJECTS[index]
    colour = COLOURS[index % len(COLOURS)] if name in TINTABLE else None
    film = draw_film(
        np.random.default_rng(index), (name, colour, BACKGROUNDS[index % 6], MOTIONS[(index // 3 + 1) % 9])
    )
    sight = judge(render(film, side=64)[0])
    assert (sight.object, sight.background, sight.motion) == (name, film.background, film.motion)
    assert colour is None or sight.colour == colour


@pytest.mark.parametrize("value", [0, 255])
def test_the_judge_bears_films_of_nothing(value: int) -> None:
    sight = judge(np.full((5, 32, 32, 3), value, np.uint8))
    assert sight.object in OBJECTS and sight.error > 0.05


def test_natural_objects_take_no_colour_in_the_world() -> None:
    assert all((colour is None) == (name in NATURAL) for name, colour, _, _ in combinations(held=False))


@pytest.mark.parametrize(
    ("motion", "camera"),
    [("spin", None), ("grow", None), ("left", None), ("fall", None), ("spin", "in"), ("fall", "right")],
)
def test_the_layout_finds_the_drawing_again(motion: str, camera: str | None) -> None:
    """Looking the drawing up at the told coordinates gives the outline that was rendered."""
    film = replace(draw_film(np.random.default_rng(3), ("star", "red", "night", motion)), camera=camera)
    _, cover = render(film, side=64)
    where = layout(film, 64, 64)
    drawing = cv2.resize(sprite("star", "red")[..., 3], (64, 64), interpolation=cv2.INTER_AREA)
    for k in (0, 8, 16):
        u, v = ((axis + 0.5) * 64 - 0.5 for axis in where[k, :2])
        outline = cv2.remap(drawing, u, v, cv2.INTER_LINEAR)
        assert np.abs(outline - cover[0, k] / 255).mean() < 0.01


def test_a_standing_camera_sees_the_place_as_it_is() -> None:
    for shape in ((64, 64), (48, 80), (80, 48)):
        assert view(None, 0.3) == View()
        near = viewed("night", View(zoom=1.000001), *shape)
        assert np.abs(near - background("night", *shape)).mean() < 0.01


@pytest.mark.parametrize("camera", CAMERAS)
def test_what_the_camera_does_is_done_to_place_and_object_alike(camera: str) -> None:
    film = draw_film(np.random.default_rng(7), ("owl", None, "snow", "still"))
    moved = replace(film, camera=camera)
    (x0, _, s0, _), (x1, _, s1, _) = (moved.view(k).seen(film.subject.pose(k)) for k in (0, 16))
    way = {"left": x1 - x0, "right": x0 - x1, "in": 0.0, "out": 0.0}[camera]
    assert way == pytest.approx(PAN if camera in ("left", "right") else 0, abs=1e-9)
    assert s1 / s0 == pytest.approx({"in": ZOOM, "out": 1 / ZOOM}.get(camera, 1.0))
    shown, _ = render(moved, side=96)
    for k in (0, 16):
        place = viewed("snow", moved.view(k), 96, 96) * film.light
        assert np.abs(shown[k] / 255 - np.clip(place, 0, 1)).mean(-1)[:8].max() < 0.01, "above the object"
    assert np.abs(shown[0].astype(int) - shown[16]).mean() > 2


def test_the_camera_turns_back_after_two_seconds() -> None:
    for camera in CAMERAS:
        assert view(camera, 2.0) == view(camera, 0.0) != view(camera, 1.0)
    with pytest.raises(ValueError, match="camera"):
        view("up", 0.0)


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("motion", ["still", "rise", "spin"])
def test_the_judge_sees_the_camera_and_what_the_object_does_beside_it(camera: str, motion: str) -> None:
    film = replace(draw_film(np.random.default_rng(8), ("robot", None, "snow", motion)), camera=camera)
    sight = judge(render(film, side=64)[0])
    assert (sight.camera, sight.motion, sight.object) == (camera, motion, "robot")


def test_the_judge_takes_no_moving_object_for_a_moving_camera() -> None:
    rng = np.random.default_rng(9)
    assert all(judge(render(draw_film(rng), side=64)[0]).camera is None for _ in range(16))
