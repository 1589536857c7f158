"""Subjects: the people, characters, brands and works of the registry, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from guarded_sora.errors import UsageError

LONGEST_NAME = 200
MOST_NAMES = 64


class Kind(StrEnum):
    """What a subject is."""

    PERSON = "person"
    CHARACTER = "character"
    BRAND = "brand"
    WORK = "work"


class Standing(StrEnum):
    """What a person is in public life; empty for subjects that are no person."""

    PRIVATE = "private"
    PUBLIC = "public"
    MINOR = "minor"
    DECEASED = "deceased"
    NONE = ""


CATEGORY: dict[tuple[Kind, Standing], tuple[str, int]] = {
    (Kind.PERSON, Standing.PRIVATE): ("likeness.private", 3),
    (Kind.PERSON, Standing.MINOR): ("likeness.minor", 3),
    (Kind.PERSON, Standing.PUBLIC): ("likeness.public", 2),
    (Kind.PERSON, Standing.DECEASED): ("likeness.deceased", 2),
    (Kind.CHARACTER, Standing.NONE): ("ip.character", 2),
    (Kind.BRAND, Standing.NONE): ("ip.brand", 2),
    (Kind.WORK, Standing.NONE): ("ip.work", 1),
}
"""The category a subject is reported in, and how grave naming or showing it without consent is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectName:
    """One name: ``weak`` marks a common word, ``description`` a phrase that gives the subject away."""

    text: str
    weak: bool = False
    description: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One protected person, character, brand or work. The first of ``names`` is what we call it."""

    subject_id: str
    kind: Kind
    standing: Standing
    jurisdiction: str
    created_ms: int
    names: tuple[SubjectName, ...]
    terms: str = ""
    faces: int = 0
    references: int = 0

    @property
    def category(self) -> tuple[str, int]:
        """Taxonomy category and severity."""
        return CATEGORY[self.kind, self.standing]


def cleaned_names(names: Sequence[SubjectName]) -> list[SubjectName]:
    """``names`` without doubles and stray spaces. Raises UsageError for names that cannot be looked for."""
    kept: dict[str, SubjectName] = {}
    for name in names:
        text = " ".join(name.text.encode("utf-8", "replace").decode().split())
        if not 2 <= len(text) <= LONGEST_NAME or not any(char.isalpha() for char in text):
            raise UsageError(f"A name needs 2 to {LONGEST_NAME} characters, a letter among them.")
        kept.setdefault(text, SubjectName(text=text, weak=name.weak, description=name.description))
    if not kept or next(iter(kept.values())).description:
        raise UsageError("A subject needs a name; a description alone does not say who it is.")
    if len(kept) > MOST_NAMES:
        raise UsageError(f"A subject has at most {MOST_NAMES} names; leave out those that sound alike.")
    return list(kept.values())
