"""The words of a pack: sections of terms, their combinations, and safer words for rewriting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from guarded_sora.policies.errors import PackInvalid
from guarded_sora.policies.packfiles import decode_text, load_yaml, validate
from guarded_sora.policies.text.normalise import surface_text
from guarded_sora.policies.text.terms import Combination, Section, parse_lexicon

if TYPE_CHECKING:
    from guarded_sora.policies.schema import CombinationFile

REWRITES = "rewrites.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The terms of one folder of a pack and what they mean together."""

    sections: tuple[Section, ...] = ()
    combinations: tuple[Combination, ...] = ()

    @property
    def guards(self) -> tuple[str, ...]:
        """Real words that must not be taken for typos."""
        return tuple(term for section in self.sections if section.role == "guard" for term in section.terms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """Safer words for one category. Keys of ``terms`` are folded as the surface view folds text."""

    default: str
    terms: Mapping[str, str]


def read_vocabulary(folder: str, files: Mapping[str, bytes]) -> Vocabulary:
    """The vocabulary in ``folder`` of a pack; empty when there is none. Raises :class:`PackInvalid`."""
    from guarded_sora.policies.schema import CombinationsFile

    sections: dict[str, Section] = {}
    combinations: dict[str, Combination] = {}
    for name in sorted(files):
        if not name.startswith(f"{folder}/") or name.endswith(".golden.yaml"):
            continue
        if name.endswith(".txt"):
            for section in parse_lexicon(name, decode_text(name, files[name])):
                if section.name in sections:
                    raise PackInvalid(f"{name}: the section {section.name!r} exists twice; rename one.")
                sections[section.name] = section
        else:
            for item in validate(name, CombinationsFile, load_yaml(name, files[name])).combinations:
                if item.id in combinations:
                    raise PackInvalid(f"{name}: the combination {item.id!r} exists twice; rename one.")
                combinations[item.id] = _combination(item)
    for combination in combinations.values():
        for wanted in {name for group in combination.groups for name in group} | set(combination.unless):
            if wanted not in sections:
                raise PackInvalid(
                    f"{folder}: the combination {combination.id!r} needs the section {wanted!r}; add it."
                )
    return Vocabulary(sections=tuple(sections.values()), combinations=tuple(combinations.values()))


def _combination(data: CombinationFile) -> Combination:
    return Combination(
        id=data.id,
        category=data.category,
        severity=data.severity,
        groups=tuple((group,) if isinstance(group, str) else tuple(group) for group in data.groups),
        unless=tuple(data.unless),
        within=data.within,
        ordered=data.ordered,
    )


def read_wordings(files: Mapping[str, bytes]) -> dict[str, Wording]:
    """Safer words by category, from ``rewrites.yaml``; empty without it. Raises :class:`PackInvalid`."""
    from guarded_sora.policies.schema import RewritesFile

    if REWRITES not in files:
        return {}
    wordings: dict[str, Wording] = {}
    for item in validate(REWRITES, RewritesFile, load_yaml(REWRITES, files[REWRITES])).rewrites:
        if item.category in wordings:
            raise PackInvalid(f"{REWRITES}: {item.category!r} stands twice; keep one.")
        terms = {surface_text(term): words for term, words in item.terms.items()}
        wordings[item.category] = Wording(default=item.default, terms=MappingProxyType(terms))
    return wordings
