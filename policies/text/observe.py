"""One search of a prompt: every view, every term and combination, typos, without repetition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from guarded_sora.policies.finding import CharacterSpan, Finding
from guarded_sora.policies.text.combine import Combiner
from guarded_sora.policies.text.decode import Hidden, decoded_views, find_hidden
from guarded_sora.policies.text.fuzzy import TypoIndex
from guarded_sora.policies.text.lexicon import Hit, Matcher, Term
from guarded_sora.policies.text.mend import WordMender
from guarded_sora.policies.text.normalise import View, surface_text
from guarded_sora.policies.text.reading import read
from guarded_sora.policies.text.terms import Combination, Section

MAX_PER_CATEGORY: Final = 16
TYPO_SCORE: Final = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Something seen once: where in the original, in which view, and whether it was hidden there."""

    category: str
    severity: int
    span: tuple[int, int]
    evidence: str
    view: str
    tricky: bool = False
    score: float | None = None


class TermSearch:
    """Terms, combinations and typos of some sections.

    ``decode`` also reads hidden text; ``typo_terms`` tells which terms to look for misspelled, and
    ``joined_typos`` whether over several words, ``mend`` whether words of longer terms are put right
    where they are misspelled or masked; ``guards`` are real words that are no typos.
    """

    def __init__(
        self,
        sections: Sequence[Section],
        combinations: Sequence[Combination],
        *,
        decode: bool,
        typo_terms: Callable[[Term], bool],
        joined_typos: bool = False,
        mend: bool = False,
        guards: Iterable[str] = (),
    ) -> None:
        self._matcher = Matcher(sections)
        self._combiner = Combiner(combinations)
        self._decode = decode
        self._typo_terms = typo_terms
        self._joined_typos = joined_typos
        self._mend = mend
        self._guards = frozenset(surface_text(word) for word in guards)

    @cached_property
    def _typos(self) -> TypoIndex:
        terms = {
            surface_text(term.text): number
            for number, term in enumerate(self._matcher.terms)
            if self._typo_terms(term)
        }
        known = {surface_text(term.text) for term in self._matcher.terms}
        return TypoIndex(terms, guards=self._guards | known, joined=self._joined_typos)

    def search(self, text: str) -> list[Observation]:
        """Everything seen in ``text``, at most 16 of a category; hidden words also as ``evasion``."""
        reading = read(text)
        clean, bases, views = reading.text, reading.bases, list(reading.views)
        runs: list[Hidden] = []
        if self._decode:
            runs = find_hidden(clean)
            views.extend(decoded_views(bases[-1], runs))
            if len(bases) > 1:
                views.extend(decoded_views(bases[0], ()))
        mended = self._mended.view(bases[-1]) if self._mend else None
        if mended is not None:
            views.append(mended)
        kept = Kept()
        for view in views:
            hits = self._matcher.find(view)
            if view is mended:
                # Put right, ordinary words could mean anything: only whole severe terms count.
                hits = [hit for hit in hits if self._typo_terms(hit.term) and " " in hit.term.text]
            if view is bases[-1] or view is bases[0]:
                hits = [*hits, *self._misspelled(view, hits)]
            self._observe(view, hits, clean, kept)
        for run in runs:
            if run.smuggled:
                kept.hidden((run.start, run.end), run.kind)
        return kept.observations()

    @cached_property
    def _mended(self) -> WordMender:
        words = {
            word
            for term in self._matcher.terms
            if self._typo_terms(term)
            for word in surface_text(term.text).split()
            if " " in term.text.strip()
        }
        return WordMender(words, guards=self._guards)

    def _misspelled(self, view: View, hits: Sequence[Hit]) -> list[Hit]:
        taken = [(hit.start, hit.end) for hit in hits]
        found: list[Hit] = []
        for typo in self._typos.find(view.text):
            if len(found) >= MAX_PER_CATEGORY:
                break
            if any(start < typo.end and typo.start < end for start, end in taken):
                continue
            typo_view = View(
                name=f"{view.name}+typo",
                text=view.text,
                starts=view.starts,
                ends=view.ends,
                tricky=view.tricky,
            )
            found.append(
                Hit(
                    term=self._matcher.terms[typo.term],
                    view=typo_view,
                    start=typo.start,
                    end=typo.end,
                    span=view.span(typo.start, typo.end),
                )
            )
        return found

    def _observe(self, view: View, hits: Sequence[Hit], original: str, kept: Kept) -> None:
        for hit in hits:
            section = hit.term.section
            if section.role == "report":
                kept.add(
                    Observation(
                        category=section.category,
                        severity=section.severity,
                        span=hit.span,
                        evidence=f"{section.name}: {hit.term.text}",
                        view=hit.view.name,
                        tricky=_is_tricky(hit.view, original, hit.span),
                        score=TYPO_SCORE if hit.view.name.endswith("+typo") else None,
                    )
                )
        for match in self._combiner.find(view, hits):
            combination = match.combination
            kept.add(
                Observation(
                    category=combination.category,
                    severity=combination.severity,
                    span=match.span,
                    evidence=f"{combination.id}: " + " + ".join(hit.term.text for hit in match.hits),
                    view=view.name,
                    tricky=any(_is_tricky(hit.view, original, hit.span) for hit in match.hits),
                )
            )


def _is_tricky(view: View, original: str, span: tuple[int, int]) -> bool:
    if view.tricky:
        return True
    if not view.name.startswith("latin"):
        return False
    # A word in another script is a language; a word in two scripts is a disguise.
    letters = [char for char in original[span[0] : span[1]] if char.isalpha()]
    return any(char.isascii() for char in letters) and not all(char.isascii() for char in letters)


class Kept:
    """Observations without repetition: the first view that shows something wins."""

    def __init__(self) -> None:
        self._by_category: dict[str, list[Observation]] = {}

    def add(self, item: Observation) -> None:
        """Keep ``item`` unless something as severe of its category overlaps it, or 16 are worse."""
        known = self._by_category.setdefault(item.category, [])
        if any(
            other.severity >= item.severity and other.span[0] < item.span[1] and item.span[0] < other.span[1]
            for other in known
        ):
            return
        if len(known) >= MAX_PER_CATEGORY:
            weakest = min(range(len(known)), key=lambda index: known[index].severity)
            if known[weakest].severity >= item.severity:
                return
            del known[weakest]
        known.append(item)
        if item.tricky:
            severity = 2 if item.severity >= 2 else 1
            self.add(
                Observation(
                    category="evasion",
                    severity=severity,
                    span=item.span,
                    evidence="hidden words",
                    view=item.view,
                )
            )

    def hidden(self, span: tuple[int, int], kind: str) -> None:
        """Words spelled by characters nobody sees, whatever they say."""
        self.add(
            Observation(
                category="evasion",
                severity=2,
                span=span,
                evidence="invisible characters spell words",
                view=kind,
            )
        )

    def observations(self) -> list[Observation]:
        """All that was kept, category by category in the order first seen."""
        return [item for known in self._by_category.values() for item in known]


def as_findings(detector: str, version: str, observations: Iterable[Observation]) -> list[Finding]:
    """Observations in the words of the policy."""
    return [
        Finding(
            category=item.category,
            severity=item.severity,
            score=item.score,
            detector=detector,
            detector_version=version,
            where=CharacterSpan(start=item.span[0], end=item.span[1]),
            evidence=f"{item.evidence} ({item.view})",
        )
        for item in observations
    ]
