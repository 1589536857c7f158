from __future__ import annotations

import numpy as np
import pytest

from guarded_sora.generation.reading import read_prompt
from guarded_sora.generation.vocabulary import (
    CONCEPTS,
    MAX_TOKENS,
    OBJECTS,
    PAD,
    SYNONYMS,
    UNKNOWN,
    concept,
)
from guarded_sora.training.drawing import caption, draw_film, tokens
from guarded_sora.training.world import combinations


def test_the_readme_prompt_is_understood_whole() -> None:
    reading = read_prompt("a red balloon rising over a sandy beach")
    assert reading.in_domain and reading.warnings == ()
    assert [reading.named(k) for k in ("object", "colour", "background", "motion")] == [
        "balloon", "red", "beach", "rise",
    ]  # fmt: skip


def test_captions_read_back_to_their_film_whatever_the_words() -> None:
    rng = np.random.default_rng(0)
    for index in range(400):
        film = draw_film(rng, held=bool(index % 2))
        reading = read_prompt(caption(film, rng))
        assert reading.tokens == tokens(film), film.combination
        assert reading.in_domain, film.combination


def test_no_phrase_means_two_things() -> None:
    phrases = [phrase for options in SYNONYMS.values() for phrase in options]
    assert len(phrases) == len(set(phrases))
    own = {concept for concept in CONCEPTS[2:] if not concept.startswith(("object2:", "colour2:"))}
    assert set(SYNONYMS) == own


@pytest.mark.parametrize(
    "prompt",
    [
        "a zebra at night",
        "two dogs",
        "a dog, a cat and an owl",
        "a dog a cat",
        "a beach at sunset",
        "a purple dog",
        "not a balloon",
        "собака на пляже",
        "狗",
        "qwertyuiop",
        "a dog " + "x" * 3000,
        "!!!",
    ],
)
def test_what_lies_outside_the_world_is_said_without_repeating_it(prompt: str) -> None:
    reading = read_prompt(prompt)
    assert not reading.in_domain
    assert reading.warnings
    for word in ("zebra", "dogs", "qwertyuiop", "собака", "狗", "xxx"):
        assert all(word not in warning for warning in reading.warnings)


@pytest.mark.parametrize("prompt", ["a dog", "Dog!", "A DOG, spinning", "the puppy", "ｄｏｇ", "dogs"])
def test_synonyms_case_and_width_do_not_matter(prompt: str) -> None:
    assert read_prompt(prompt).named("object") == "dog"


def test_several_words_may_name_one_place() -> None:
    assert read_prompt("a fish in the deep blue sea").tokens[:2] == (
        concept("object", "fish"), concept("background", "sea"),
    )  # fmt: skip


@pytest.mark.parametrize("prompt", ["", "\ud800", "\x00", " " * 10_000, "a" * 100_000, "🎈" * 5000])
def test_hostile_prompts_give_a_row_of_tokens(prompt: str) -> None:
    row = read_prompt(prompt).tokens
    assert len(row) == MAX_TOKENS
    assert all(0 <= token < len(CONCEPTS) for token in row)


def test_unknown_words_alone_become_the_unknown_token() -> None:
    assert read_prompt("zebra").tokens == (UNKNOWN, *[PAD] * (MAX_TOKENS - 1))


def test_every_object_is_held_out_and_trained_on() -> None:
    held, trained = combinations(held=True), combinations(held=False)
    assert not set(held) & set(trained)
    assert {c[0] for c in held} == {c[0] for c in trained} == set(OBJECTS)
    assert 0.05 < len(held) / (len(held) + len(trained)) < 0.15
    for part in range(1, 4):
        assert {c[part] for c in held} == {c[part] for c in trained}


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("a red ball to the left of a blue car", ("ball", "red", "left", "car", "blue")),
        ("a dog and a cat on the beach", ("dog", None, "beside", "cat", None)),
        ("a red ball and a blue ball", ("ball", "red", "beside", "ball", "blue")),
        ("a cat hitting a green apple in the snow", ("cat", None, "hit", "apple", "green")),
        ("an owl passing in front of a pink heart at night", ("owl", None, "front", "heart", "pink")),
        ("a kite over a boat, in pencil", ("kite", None, "above", "boat", None)),
        ("the ball is red and the car is blue", ("ball", "red", "beside", "car", "blue")),
        ("under the night sky, a fish below a star", ("fish", None, "below", "star", None)),
    ],
)
def test_two_objects_are_told_apart_with_their_colours(prompt: str, said: tuple[str | None, ...]) -> None:
    reading = read_prompt(prompt)
    assert reading.in_domain, reading.warnings
    assert tuple(reading.named(k) for k in ("object", "colour", "relation", "object2", "colour2")) == said


@pytest.mark.parametrize(
    "prompt", ["a dog in front of a sunset", "a fish under the sea", "a boat and the sea"]
)
def test_a_relation_needs_two_objects(prompt: str) -> None:
    reading = read_prompt(prompt)
    assert reading.in_domain and reading.named("relation") is None


@pytest.mark.parametrize("prompt", ["a dog growing next to a cat", "a red ball rising, hitting a car"])
def test_a_motion_that_two_do_not_make_is_left_out_with_a_word(prompt: str) -> None:
    reading = read_prompt(prompt)
    assert not reading.in_domain and reading.named("motion") is None and reading.named("object2")


@pytest.mark.parametrize(
    ("prompt", "style"),
    [
        ("a dog, black and white", "grey"),
        ("pixel art: a boat at sunset", "pixels"),
        ("a star in pencil", "sketch"),
    ],
)
def test_styles_are_read(prompt: str, style: str) -> None:
    reading = read_prompt(prompt)
    assert reading.in_domain and reading.named("style") == style


def test_weights_of_a_smaller_vocabulary_say_what_they_do_not_know() -> None:
    known = CONCEPTS.index("motion:bounce")
    assert read_prompt("a red balloon rising over a beach", known=known).in_domain
    for prompt in ("a ball bouncing on a meadow", "a dog next to a cat", "a dog, black and white"):
        reading = read_prompt(prompt, known=known)
        assert not reading.in_domain and max(reading.tokens) < known


@pytest.mark.parametrize(
    ("prompt", "camera"),
    [
        ("a dog standing still on the beach, camera panning left", "left"),
        ("the camera pans to the right, a red kite rising over a meadow", "right"),
        ("zoom in: an owl at night", "in"),
        ("a ghost spinning in the snow, the camera zooms out", "out"),
        ("a dog moving left on the beach", None),
    ],
)
def test_the_camera_is_read_apart_from_what_the_object_does(prompt: str, camera: str | None) -> None:
    reading = read_prompt(prompt)
    assert reading.in_domain and reading.named("camera") == camera


@pytest.mark.parametrize("prompt", ["a dog drifting left, zoom in", "a dog and a cat on the beach, pan left"])
def test_a_camera_that_was_not_learned_beside_that_stands_and_says_so(prompt: str) -> None:
    reading = read_prompt(prompt)
    assert reading.named("camera") is None and not reading.in_domain
    assert any("camera" in warning for warning in reading.warnings)


def test_weights_without_cameras_take_the_words_for_unknown_ones() -> None:
    reading = read_prompt("a dog on the beach, zoom in", known=CONCEPTS.index("camera:left"))
    assert not reading.in_domain and reading.named("camera") is None
