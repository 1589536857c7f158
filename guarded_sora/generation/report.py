"""The prompt report: what the built-in generator will make of a prompt, word by word, and what it will not.

It is for whoever wrote the prompt, so it quotes their words; it goes to them and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from guarded_sora.generation.reading import Reading, Word, read_prompt, read_words
from guarded_sora.generation.vocabulary import CONCEPTS, EVENTS, NATURAL

Fate = Literal["used", "joins", "ignored", "unknown"]

OTHER_SENSES: Mapping[str, str] = {
    "orange": "a colour here, not the fruit",
    "golden": "yellow here, not the metal",
    "violet": "purple here, not the flower",
    "rosy": "pink here, not a mood",
    "star": "the drawn five-pointed star, not a person and not the night sky",
    "ball": "the toy, not a dance",
    "basketball": "the ball, not the game",
    "heart": "the drawn heart, not the organ",
    "vehicle": "a car here, whatever the vehicle",
    "ship": "a sailing boat here",
    "yacht": "a sailing boat here",
    "field": "a green meadow here, unless it is snowy",
    "grass": "a green meadow here",
    "water": "under water in the deep sea",
    "sand": "a beach here, not a desert",
    "winter": "a snowy field here",
    "left": "the way it moves, not gone and not the side it stands on",
    "right": "the way it moves, not correct and not the side it stands on",
    "falls": "falling, not a waterfall",
    "still": "not moving, not until now",
    "rolling": "turning on the spot here",
    "approaching": "growing larger here",
    "moving away": "growing smaller here",
    "negative": "a photo negative, not a mood",
    "vintage": "a sepia picture here",
    "by": "beside, not made by",
    "with": "beside, not having",
}
"""Words that a person may mean otherwise than the generator takes them, and how it takes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadWord:
    """A word or phrase of the prompt and what became of it.

    ``fate``: "used"; "joins", it only joins others; "ignored", it was understood and has no effect;
    "unknown", it was never learned. ``means``: what it names, such as "colour: red". ``note``: why it was
    ignored, or another sense in which it was not taken.
    """

    text: str = field(repr=False)
    fate: Fate
    means: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptReport:
    """What the generator understands of a prompt, and where the picture that it begins with says otherwise.

    ``open``: kinds that the prompt leaves open and the generator fills as it likes. ``picture``: what the
    given picture shows, None without one. ``conflicts`` name concepts only and never quote the prompt.
    """

    words: tuple[ReadWord, ...]
    reading: Reading
    open: tuple[str, ...]
    picture: str | None = None
    conflicts: tuple[str, ...] = ()

    @property
    def in_domain(self) -> bool:
        """Whether everything that was said can be shown, and the picture does not contradict it."""
        return self.reading.in_domain and not self.conflicts

    def as_json(self) -> dict[str, Any]:
        return {
            "in_domain": self.in_domain,
            "words": [
                {"text": word.text, "fate": word.fate, "means": word.means, "note": word.note}
                for word in self.words
            ],
            "understood": understood(self.reading),
            "open": list(self.open),
            "warnings": list(self.reading.warnings),
            "picture": self.picture,
            "conflicts": list(self.conflicts),
        }


def report_prompt(
    prompt: str, picture: NDArray[np.uint8] | None = None, *, known: int = len(CONCEPTS)
) -> PromptReport:
    """Report on a prompt and the picture uint8 (H, W, 3) that the film begins with.

    ``known``: how many of ``CONCEPTS`` the weights were trained on.
    """
    reading = read_prompt(prompt, known=known)
    words = tuple(_fate(word, reading) for word in read_words(prompt, known=known))
    return replace(report_reading(reading, picture), words=words)


def report_reading(reading: Reading, picture: NDArray[np.uint8] | None = None) -> PromptReport:
    """Report on what another reader understood as a whole: there is no word by word."""
    shown, conflicts = (None, ()) if picture is None else compare(reading, picture)
    return PromptReport(words=(), reading=reading, open=_open(reading), picture=shown, conflicts=conflicts)


def understood(reading: Reading) -> dict[str, str]:
    """What was understood, kind by kind."""
    kinds = (CONCEPTS[token].partition(":") for token in reading.tokens)
    return {kind: name for kind, colon, name in kinds if colon}


def _fate(word: Word, reading: Reading) -> ReadWord:
    if word.kind == "silent":
        return ReadWord(text=word.text, fate="joins")
    if word.kind == "unknown":
        return ReadWord(text=word.text, fate="unknown", note="not a word that the generator learned")
    means = f"{word.kind}: {word.name}"
    if word.name in (reading.named(word.kind), reading.named(f"{word.kind}2")):
        return ReadWord(text=word.text, fate="used", means=means, note=OTHER_SENSES.get(word.text, ""))
    if word.kind == "relation":
        return ReadWord(text=word.text, fate="joins")
    return ReadWord(text=word.text, fate="ignored", means=means, note=_why(word, reading))


def _why(word: Word, reading: Reading) -> str:
    if word.kind == "colour":
        natural = {reading.named("object"), reading.named("object2")} & set(NATURAL)
        return "the object has its natural colours" if natural else "another colour came first"
    if word.kind == "motion" and reading.named("motion") is None:
        return "two objects do not make that motion together"
    if word.kind == "camera" and reading.named("camera") is None:
        return "the camera moves beside one object that stands, spins, bounces, rises or falls"
    if word.kind == "object":
        return "nothing says how it stands to the first, or there are two already"
    return f"another {word.kind} came first"


def _open(reading: Reading) -> tuple[str, ...]:
    """Kinds that a film of this prompt must have and the prompt does not say."""
    said = understood(reading)
    kinds = ["object"] if "object" not in said else []
    if said.get("object") not in NATURAL and "colour" not in said:
        kinds.append("colour")
    if "object2" in said and said["object2"] not in NATURAL and "colour2" not in said:
        kinds.append("colour of the second object")
    if "background" not in said:
        kinds.append("place")
    if "motion" not in said and said.get("relation") not in EVENTS:
        kinds.append("motion")
    return tuple(kinds)


def compare(reading: Reading, picture: NDArray[np.uint8]) -> tuple[str, tuple[str, ...]]:
    """What the picture shows, and a sentence for each thing in which the prompt says otherwise.

    A film begins with its picture, so where they differ the picture wins in the first frames.
    """
    # Late: the judge reads the drawings of the world, which a prompt without a picture does not need.
    from guarded_sora.training.sighting import look_at

    still = look_at(picture)
    if still is None:
        return "nothing of the generator's world", (
            "The picture is not of the small drawn world that was learned; what follows it is a guess.",
        )
    names = [f"{colour} {name}" if colour else name for name, colour in still.objects]
    style = f", {still.style}" if still.style else ""
    shown = f"{' and '.join(names) or 'no known object'}; place: {still.background}{style}"
    said, conflicts = understood(reading), []
    for thing, tint in (("object", "colour"), ("object2", "colour2")):
        name, colour = said.get(thing), said.get(tint)
        colours = {c for n, c in still.objects if n == name}
        if name and still.objects and not colours:
            conflicts.append(f"The words say {name}; the picture shows {' and '.join(names)}.")
        elif name and colour and colours and colour not in colours:
            conflicts.append(f"The words say {colour}; the {name} of the picture is another colour.")
    if said.get("background") not in (None, still.background):
        conflicts.append(f"The words say {said['background']}; the picture's place is {still.background}.")
    if said.get("style") not in (None, still.style):
        conflicts.append(f"The words say {said['style']}; the picture's style is {still.style or 'plain'}.")
    return shown, tuple(conflicts)
