"""What a caller asks for: the request, checked at the door and carried through a review."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import orjson

from guarded_sora.errors import UsageError
from guarded_sora.provenance.labels import plan_labels

SMALLEST_SIDE, LARGEST_SIDE = 48, 4096
"""Sides of a film, pixels. The mark needs 48: refused here, not after minutes of generating."""
LONGEST_PROMPT = 100_000  # characters; more is no description of a film but an attempt on the matcher
LONGEST_SECONDS = 60.0
LARGEST_COUNT = 16
INPUT_FILES = ("image", "video", "until", "mask")
LARGEST_INPUT = 11 * 1024 * 1024  # bytes of an image or video prompt that may wait, encrypted, in a case


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptRequest:
    """One request for a film. ``image`` and ``video`` are files that the film starts from.

    ``until`` is a picture or film that it ends with, ``loop`` lets it come back to its first picture, and
    ``mask`` is a picture, light where ``video`` is to be made anew.
    ``expand`` names who says in full what the prompt leaves open: ``grammar``, the folder of a language
    model, or nobody.

    Raises:
        UsageError: a value that no generator could use; the message never repeats the prompt.
    """

    prompt: str = field(repr=False)
    seconds: float = 2.0
    size: tuple[int, int] | None = None
    seed: int | None = None
    image: Path | None = None
    video: Path | None = None
    until: Path | None = None
    loop: bool = False
    mask: Path | None = None
    profile: tuple[str, ...] = ()
    expand: str = ""

    def __post_init__(self) -> None:
        if not self.prompt.strip():
            raise UsageError("The prompt is empty; say in a few words what the film should show.")
        if len(self.prompt) > LONGEST_PROMPT:
            raise UsageError(
                f"The prompt has {len(self.prompt):,} characters; use at most {LONGEST_PROMPT:,}."
            )
        if not (math.isfinite(self.seconds) and 0 < self.seconds <= LONGEST_SECONDS):
            raise UsageError(f"The length must be more than 0 and at most {LONGEST_SECONDS:g} seconds.")
        if self.size is not None and not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in self.size):
            raise UsageError(
                f"Width and height must be {SMALLEST_SIDE} to {LARGEST_SIDE} pixels; "
                "a smaller film could not carry the invisible mark."
            )
        if self.seed is not None and not 0 <= self.seed < 2**53:
            raise UsageError("The seed must be a whole number from 0 to 2**53 - 1.")
        plan_labels(self.profile)  # refuses a law that is not known, before anything is made
        if self.image is not None and self.video is not None:
            raise UsageError("Give an image or a video to start from, not both.")
        if self.mask is not None and (self.video is None or self.until is not None or self.loop):
            raise UsageError("A mask goes with a video, and with nothing that the film should end with.")
        if self.loop and (self.until is not None or self.video is not None):
            raise UsageError("A loop ends as it begins: give a picture to start from, or nothing.")

    @property
    def words(self) -> str:
        """The prompt with lone surrogates replaced: half a character can be neither logged nor drawn."""
        return self.prompt.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def for_log(self) -> dict[str, Any]:
        """What the log may keep in clear: everything but words and pictures."""
        return {
            "seconds_ms": round(self.seconds * 1000),
            "size": list(self.size) if self.size else None,
            "seed": self.seed,
            **{name: getattr(self, name) is not None for name in INPUT_FILES},
            "loop": self.loop,
            "profile": list(self.profile),
            "expand": bool(self.expand),
        }

    def pack(self) -> bytes:
        """The whole request as bytes, input files included, to wait encrypted in a case.

        Raises:
            UsageError: an input file cannot be read or is too large to wait.
        """
        document = {item.name: getattr(self, item.name) for item in fields(self)}
        document["prompt"] = self.words
        for name in INPUT_FILES:
            path = document[name]
            document[name] = None if path is None else _read_input(path)
        return orjson.dumps(document)

    @classmethod
    def unpack(cls, data: bytes, folder: Path) -> PromptRequest:
        """The request that :meth:`pack` wrote; its input files are laid into ``folder``."""
        document = orjson.loads(data)
        for name in INPUT_FILES:
            if document.get(name) is not None:
                path = folder / f"{name}{document[name]['suffix']}"
                path.write_bytes(base64.b64decode(document[name]["data"]))
                document[name] = path
        document["size"] = tuple(document["size"]) if document["size"] else None
        document["profile"] = tuple(document["profile"])
        return cls(**document)


def _read_input(path: Path) -> dict[str, str]:
    try:
        if path.stat().st_size > LARGEST_INPUT:
            raise UsageError(f"{path.name} is larger than {LARGEST_INPUT // 2**20} MiB; use a smaller file.")
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path.name} cannot be read ({error.strerror}); check the path.") from error
    suffix = path.suffix if path.suffix.isascii() and len(path.suffix) <= 6 else ""
    return {"suffix": suffix, "data": base64.b64encode(data).decode()}
