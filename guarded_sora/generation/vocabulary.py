"""The closed vocabulary of the built-in generator: which words it learned, and which mean the same.

A prompt becomes a short row of concept tokens; several words may name one concept ("puppy", "dog")
and one concept may take several words ("night sky"). Words that only join others carry no token.
A word that carries meaning and is not listed becomes the unknown token and puts the prompt outside
the learned world.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass

TINTABLE = (
    "balloon", "ball", "heart", "star", "car", "fish", "butterfly", "flower", "apple", "kite", "boat",
    "umbrella",
)  # fmt: skip
NATURAL = (
    "dog", "cat", "rocket", "pizza", "mushroom", "penguin", "turtle", "robot", "cactus", "snowman", "owl",
    "ghost",
)  # fmt: skip
OBJECTS = TINTABLE + NATURAL
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
BACKGROUNDS = ("beach", "night", "meadow", "sunset", "snow", "sea")
MOTIONS = ("left", "right", "rise", "fall", "grow", "shrink", "spin", "still")

PAD, UNKNOWN = 0, 1
CONCEPTS: tuple[str, ...] = (
    "<pad>",
    "<unk>",
    *(f"object:{name}" for name in OBJECTS),
    *(f"colour:{name}" for name in COLOURS),
    *(f"background:{name}" for name in BACKGROUNDS),
    *(f"motion:{name}" for name in MOTIONS),
)
MAX_TOKENS = 6

SYNONYMS: dict[str, tuple[str, ...]] = {
    "object:balloon": ("balloon", "air balloon", "party balloon"),
    "object:ball": ("ball", "basketball", "sphere"),
    "object:heart": ("heart", "love heart"),
    "object:star": ("star",),
    "object:car": ("car", "automobile", "vehicle", "taxi"),
    "object:fish": ("fish", "tropical fish"),
    "object:butterfly": ("butterfly",),
    "object:flower": ("flower", "blossom", "hibiscus", "bloom"),
    "object:apple": ("apple",),
    "object:kite": ("kite", "paper kite"),
    "object:boat": ("boat", "sailboat", "sailing boat", "ship", "yacht"),
    "object:umbrella": ("umbrella", "parasol"),
    "object:dog": ("dog", "puppy", "doggy", "hound"),
    "object:cat": ("cat", "kitten", "kitty"),
    "object:rocket": ("rocket", "spaceship", "space rocket", "spacecraft"),
    "object:pizza": ("pizza", "slice of pizza", "pizza slice"),
    "object:mushroom": ("mushroom", "toadstool"),
    "object:penguin": ("penguin",),
    "object:turtle": ("turtle", "tortoise"),
    "object:robot": ("robot", "android"),
    "object:cactus": ("cactus",),
    "object:snowman": ("snowman", "snow man"),
    "object:owl": ("owl",),
    "object:ghost": ("ghost", "spook"),
    "colour:red": ("red", "crimson", "scarlet"),
    "colour:orange": ("orange",),
    "colour:yellow": ("yellow", "golden"),
    "colour:green": ("green",),
    "colour:blue": ("blue",),
    "colour:purple": ("purple", "violet"),
    "colour:pink": ("pink", "rosy"),
    "colour:brown": ("brown",),
    "background:beach": ("beach", "sandy beach", "seashore", "sand", "seaside", "shore"),
    "background:night": (
        "night sky", "starry sky", "starry night", "starry night sky", "night", "dark sky", "at night",
        "stars at night",
    ),
    "background:meadow": (
        "meadow", "green meadow", "field", "green field", "grassy field", "grass", "green grass", "lawn",
        "grassland", "green hills",
    ),
    "background:sunset": (
        "sunset", "sunset sky", "evening sky", "dusk", "orange sky", "orange sunset",
        "sundown", "setting sun",
    ),
    "background:snow": (
        "snow", "snowy field", "snow field", "winter landscape", "snowy landscape",
        "snowy hills", "white snow",
        "snowy meadow", "winter",
    ),
    "background:sea": (
        "sea", "deep sea", "deep blue sea", "blue sea", "ocean", "blue ocean", "deep ocean",
        "underwater", "water",
        "deep blue ocean", "blue water",
    ),
    "motion:left": (
        "drifting left", "drifting to the left", "moving left", "moving to the left", "floating left",
        "floating to the left", "gliding left", "flying left", "flying to the left", "going left", "left",
    ),
    "motion:right": (
        "drifting right", "drifting to the right", "moving right", "moving to the right", "floating right",
        "floating to the right", "gliding right", "flying right", "flying to the right",
        "going right", "right",
    ),
    "motion:rise": (
        "rising", "rises", "rising up", "going up", "moving up", "floating up", "climbing", "ascending",
        "flying up", "upwards", "floating upwards",
    ),
    "motion:fall": (
        "falling", "falls", "falling down", "dropping", "going down", "moving down", "sinking", "descending",
        "floating down", "downwards",
    ),
    "motion:grow": (
        "growing", "grows", "getting bigger", "getting larger", "coming closer", "approaching", "swelling",
        "growing bigger", "growing larger",
    ),
    "motion:shrink": (
        "shrinking", "shrinks", "getting smaller", "moving away", "receding",
        "going away", "becoming smaller",
    ),
    "motion:spin": (
        "spinning", "spins", "rotating", "turning", "twirling", "turning around",
        "spinning around", "rolling",
    ),
    "motion:still": (
        "standing still", "standing", "still", "resting", "not moving", "waiting", "sitting still", "sitting",
        "hovering", "staying still", "motionless",
    ),
}  # fmt: skip

SILENT = frozenset(
    [
        "a",
        "an",
        "the",
        "one",
        "single",
        "some",
        "this",
        "that",
        "is",
        "are",
        "was",
        "be",
        "in",
        "on",
        "at",
        "over",
        "above",
        "across",
        "under",
        "below",
        "beneath",
        "before",
        "behind",
        "of",
        "with",
        "and",
        "to",
        "from",
        "by",
        "into",
        "through",
        "against",
        "near",
        "there",
        "here",
        "it",
        "its",
        "which",
        "while",
        "video",
        "clip",
        "film",
        "movie",
        "scene",
        "shot",
        "picture",
        "showing",
        "shows",
        "show",
        "of",
        "background",
        "front",
        "beside",
        "around",
        "as",
        "slowly",
        "gently",
    ]
)
"""Words that join others and carry no token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the generator understood of a prompt.

    ``tokens``: MAX_TOKENS concept indices, padded with PAD. ``in_domain``: every word that carries
    meaning is known and exactly one object is named. ``warnings`` never repeat the prompt.
    """

    tokens: tuple[int, ...]
    in_domain: bool
    warnings: tuple[str, ...] = ()

    def named(self, kind: str) -> str | None:
        """The concept of ``kind`` ("object", "colour", "background", "motion") named first, or None."""
        for token in self.tokens:
            group, _, name = CONCEPTS[token].partition(":")
            if group == kind:
                return name
        return None


def _forms(phrase: str) -> list[str]:
    """A phrase and its plain plural ("balloons")."""
    plural = phrase[:-1] + "ies" if phrase.endswith("y") and phrase[-2] not in "aeo" else phrase + "s"
    return [phrase, plural]


@functools.cache
def _phrases() -> tuple[dict[tuple[str, ...], int], int]:
    table: dict[tuple[str, ...], int] = {}
    for concept, phrases in SYNONYMS.items():
        index = CONCEPTS.index(concept)
        for phrase in phrases:
            for form in _forms(phrase) if concept.startswith("object:") else [phrase]:
                table[tuple(form.split())] = index
    return table, max(map(len, table))


def concept(kind: str, name: str) -> int:
    """Index of a concept, for example ``concept("object", "dog")``."""
    return CONCEPTS.index(f"{kind}:{name}")


def read_prompt(prompt: str) -> Reading:
    """Turn a prompt into concept tokens: longest known phrase first, from left to right.

    Only the first 2,000 characters are read; what follows puts the prompt outside the domain.
    """
    text = unicodedata.normalize("NFKC", prompt[:2000].encode("utf-8", "replace").decode())
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.casefold())
    table, longest = _phrases()
    found: list[int] = []
    unknown = 0
    at = 0
    while at < len(words):
        for length in range(min(longest, len(words) - at), 0, -1):
            index = table.get(tuple(words[at : at + length]))
            if index is not None:
                if index not in found:
                    found.append(index)
                at += length
                break
        else:
            unknown += words[at] not in SILENT
            at += 1
    return _judge(found, unknown, truncated=len(prompt) > 2000)


def _judge(found: list[int], unknown: int, *, truncated: bool) -> Reading:
    kinds = {kind: [i for i in found if CONCEPTS[i].startswith(kind + ":")] for kind in
             ("object", "colour", "background", "motion")}  # fmt: skip
    warnings: list[str] = []
    if truncated:
        warnings.append("The prompt is longer than the generator reads; only its beginning was used.")
    if unknown:
        warnings.append(f"{unknown} words lie outside the generator's vocabulary and had no effect.")
    if not kinds["object"]:
        warnings.append("The prompt names no object that the generator learned.")
    for kind, items in kinds.items():
        if len(items) > 1:
            warnings.append(f"The prompt names more than one {kind}; the generator uses the first.")
    objects = [CONCEPTS[i].partition(":")[2] for i in kinds["object"][:1]]
    if kinds["colour"] and objects and objects[0] in NATURAL:
        warnings.append("This object has its natural colours; the colour that was asked for had no effect.")
        kinds["colour"] = []
    kept = [items[0] for items in kinds.values() if items]
    row = ([UNKNOWN] if unknown and not kept else []) + kept
    tokens = tuple((row + [PAD] * MAX_TOKENS)[:MAX_TOKENS])
    return Reading(tokens=tokens, in_domain=not warnings, warnings=tuple(warnings))
