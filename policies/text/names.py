"""Names and marks: people, characters, brands, artists and works that a pack or an operator lists.

Names are found in every view of the prompt (other scripts, look-alikes, spacing), by alias, with a
slip of the pen, and by description ("the actor who played ..."). Names that are also common words
stand in group sections and count only beside a word that gives them away ("apple" near "logo").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from guarded_sora.policies.errors import PolicyError
from guarded_sora.policies.finding import Finding, RequestContext
from guarded_sora.policies.taxonomy import CATEGORIES
from guarded_sora.policies.text.lexicon import Term
from guarded_sora.policies.text.observe import TermSearch, as_findings
from guarded_sora.policies.text.terms import MAX_TERM_LENGTH, Section

if TYPE_CHECKING:
    from guarded_sora.policies.pack import Pack

NAME_GROUPS = frozenset({"likeness", "ip"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """One name an operator protects. ``consent`` is a token: a request that holds it may use the name.

    ``category`` is one of ``likeness.*`` or ``ip.*``; ``aliases`` are other spellings and scripts.
    """

    name: str
    category: str
    severity: int = 2
    aliases: tuple[str, ...] = ()
    consent: str | None = None


@runtime_checkable
class NameSource(Protocol):
    """Where an operator's own names come from: a file, a registry, a list in memory."""

    @property
    def version(self) -> str:
        """Changes whenever the names do; stands in every finding."""
        ...

    def names(self) -> Iterable[Name]: ...


class NamesCheck:
    """Names of the pack's ``names/`` folder and of the operator's ``sources``.

    Sources are read once, when the check is made: make a new one when a source's version changes.
    Raises :class:`PolicyError` for a name that cannot be looked for.
    """

    name = "names"

    def __init__(self, pack: Pack, sources: Sequence[NameSource] = ()) -> None:
        self._by_consent: dict[str, TermSearch] = {}
        sections = list(pack.names.sections)
        consents: dict[str, list[Name]] = {}
        plain: list[Name] = []
        for source in sources:
            for item in source.names():
                _refuse_bad(item)
                if item.consent is None:
                    plain.append(item)
                else:
                    consents.setdefault(item.consent, []).append(item)
        sections.extend(_sections(plain, "names"))
        guards = pack.names.guards
        self.version = "+".join(["1.0.0", *(source.version for source in sources)])
        self._search = TermSearch(
            sections,
            pack.names.combinations,
            decode=False,
            typo_terms=_may_be_misspelled,
            joined_typos=True,
            guards=guards,
        )
        for consent, items in consents.items():
            self._by_consent[consent] = TermSearch(
                _sections(items, "consented"),
                (),
                decode=False,
                typo_terms=_may_be_misspelled,
                joined_typos=True,
                guards=guards,
            )

    def check(self, text: str, context: RequestContext) -> Sequence[Finding]:
        """Names in ``text``; one whose consent the request holds is not reported."""
        observations = self._search.search(text)
        for consent, search in self._by_consent.items():
            if consent not in context.consents:
                observations.extend(search.search(text))
        return as_findings(self.name, self.version, observations)


def _may_be_misspelled(term: Term) -> bool:
    return term.section.role == "report"


def _sections(names: Iterable[Name], prefix: str) -> list[Section]:
    terms: dict[tuple[str, int], dict[str, None]] = {}
    for item in names:
        for text in (item.name, *item.aliases):
            terms.setdefault((item.category, item.severity), {})[" ".join(text.split())] = None
    return [
        Section(
            name=f"{prefix}_{category.replace('.', '_')}_{severity}",
            role="report",
            category=category,
            severity=severity,
            language="und",
            terms=tuple(texts),
        )
        for (category, severity), texts in terms.items()
    ]


def _refuse_bad(item: Name) -> None:
    if item.category not in CATEGORIES or CATEGORIES[item.category].group not in NAME_GROUPS:
        raise PolicyError(
            f"A name cannot have the category {item.category!r}; use one of likeness.* or ip.*."
        )
    if not 1 <= item.severity <= 3:
        raise PolicyError(f"A name needs a severity of 1 to 3, not {item.severity}.")
    for text in (item.name, *item.aliases):
        if not 2 <= len(" ".join(text.split())) <= MAX_TERM_LENGTH:
            raise PolicyError(f"A name needs 2 to {MAX_TERM_LENGTH} characters; shorten it or leave it out.")
