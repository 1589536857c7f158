"""What the report says of a prompt's words, of what they leave open, and of a picture that says otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from guarded_sora.generation.reading import read_prompt, read_words
from guarded_sora.generation.report import OTHER_SENSES, report_prompt, understood
from guarded_sora.generation.vocabulary import SYNONYMS
from guarded_sora.training.drawing import draw_film, draw_pair, draw_style
from guarded_sora.training.sighting import look_at
from guarded_sora.training.world import Film, render


def _still(film: Film) -> np.ndarray:
    return render(film, side=128, count=1)[0][0]


@pytest.mark.parametrize(
    ("prompt", "used", "ignored", "unknown"),
    [
        ("a red balloon rising over a sandy beach", ["red", "balloon", "rising", "sandy beach"], [], []),
        ("a majestic balloon", ["balloon"], [], ["majestic"]),
        ("a purple penguin", ["penguin"], ["purple"], []),
        ("a dog, a cat", ["dog"], ["cat"], []),
        ("a red blue ball", ["red", "ball"], ["blue"], []),
        ("a dog bouncing beside a cat", ["dog", "beside", "cat"], ["bouncing"], []),
        ("собака", [], [], ["собака"]),
    ],
)
def test_every_word_has_a_fate(prompt: str, used: list[str], ignored: list[str], unknown: list[str]) -> None:
    report = report_prompt(prompt)
    for fate, expected in (("used", used), ("ignored", ignored), ("unknown", unknown)):
        assert [word.text for word in report.words if word.fate == fate] == expected
    assert report.in_domain == (not ignored and not unknown)
    assert all(word.note for word in report.words if word.fate in ("ignored", "unknown"))


def test_a_word_with_another_sense_is_told_how_it_was_taken() -> None:
    notes = {word.text: word.note for word in report_prompt("an orange star drifting left").words}
    assert "not the fruit" in notes["orange"] and "five-pointed" in notes["star"]
    phrases = {phrase for options in SYNONYMS.values() for phrase in options}
    assert set(OTHER_SENSES) <= phrases, "a sense of a word that the generator does not take at all"


def test_what_is_left_open_is_said() -> None:
    assert report_prompt("a balloon").open == ("colour", "place", "motion")
    assert report_prompt("a dog falling at night").open == ()
    assert report_prompt("a dog hitting a ball").open == ("colour of the second object", "place")
    assert "object" in report_prompt("").open


def test_two_of_a_kind_are_not_dropped_without_a_word() -> None:
    assert not read_prompt("a dog and a dog").in_domain
    assert read_prompt("a dog drifting left, and the dog is over a beach").in_domain
    assert read_prompt("a red ball beside a blue ball").in_domain
    assert read_prompt("two cactuses").warnings == (
        "1 word lies outside the generator's vocabulary and had no effect.",
    )
    assert len(read_prompt("a red dog beside a blue cat").warnings) == 1


def test_long_and_hostile_prompts_are_read_in_bounded_time() -> None:
    for prompt in ("a dog " * 5000, "\x00" * 3000, "\udcff" * 3000, "﷽" * 3000, "left " * 3000):
        assert not report_prompt(prompt).in_domain
        assert sum(len(word.text) for word in read_words(prompt)) < 60_000


def test_pictures_of_the_world_are_known_and_others_are_not() -> None:
    rng = np.random.default_rng(0)
    right = places = 0
    for index in range(24):
        film = draw_pair(rng) if index % 2 else draw_film(rng)
        film = draw_style(rng, film) if index % 3 == 2 else film
        still = look_at(_still(film))
        assert still is not None
        places += still.background == film.background
        right += film.style is None and (film.subject.object, film.subject.colour) in still.objects
    assert places >= 23, "of 24; in black and white two places may look alike behind two objects"
    assert right >= 14, "of 16 plain films; one object may hide another"
    assert look_at(rng.integers(0, 255, (90, 160, 3)).astype(np.uint8)) is None
    assert look_at(np.full((64, 64, 3), 128, np.uint8)) is None
    assert look_at(np.zeros((7, 300, 3), np.uint8)) is None


def test_a_picture_that_says_otherwise_is_a_conflict() -> None:
    film = draw_film(np.random.default_rng(1), ("balloon", "red", "beach", "rise"))
    picture = _still(film)
    agreed = report_prompt("a red balloon rising over a beach", picture)
    assert agreed.in_domain and agreed.conflicts == () and agreed.picture == "red balloon; place: beach"
    for prompt, word in (
        ("a dog rising over a beach", "dog"),
        ("a blue balloon over a beach", "blue"),
        ("a red balloon at night", "night"),
        ("a red balloon over a beach, pencil sketch", "sketch"),
    ):
        found = report_prompt(prompt, picture)
        assert not found.in_domain and len(found.conflicts) == 1 and word in found.conflicts[0], prompt
    photograph = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    assert "not of the small drawn world" in report_prompt("a dog", photograph).conflicts[0]


def test_the_report_as_json_and_without_the_words_in_its_repr() -> None:
    report = report_prompt("a zebra beside a dog")
    written = report.as_json()
    assert written["understood"] == understood(report.reading) == {"object": "dog"}
    assert [word["text"] for word in written["words"]] == ["a", "zebra", "beside", "a", "dog"]
    assert "zebra" not in repr(report)
