"""Prompt checks: what others may implement, and the ones that ship with the project."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from guarded_sora.policies.finding import CharacterSpan, Finding, RequestContext
from guarded_sora.policies.text.combine import Combiner
from guarded_sora.policies.text.decode import decoded_views, find_hidden
from guarded_sora.policies.text.lexicon import Matcher
from guarded_sora.policies.text.normalise import View, base_views, derive_views, sanitise

if TYPE_CHECKING:
    from guarded_sora.policies.pack import Pack

MAX_PER_CATEGORY: Final = 16


@runtime_checkable
class PromptCheck(Protocol):
    """Looks at a prompt and reports; it never decides.

    ``check`` may raise: whoever runs it records a failed check, which the pack answers with review.
    It must end in bounded time for any text, including an empty one and one of a megabyte.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def check(self, text: str, context: RequestContext) -> Sequence[Finding]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Observation:
    category: str
    severity: int
    span: tuple[int, int]
    evidence: str
    view: str
    tricky: bool


class LexiconCheck:
    """The terms and combinations of a pack, in every view of the prompt.

    A term that shows only in a view that undoes a disguise also raises ``evasion``.
    """

    name = "lexicon"
    version = "1.0.0"

    def __init__(self, pack: Pack) -> None:
        self._matcher = Matcher(pack.sections)
        self._combiner = Combiner(pack.combinations)

    def check(self, text: str, context: RequestContext) -> Sequence[Finding]:
        """Findings in the order of the text's views; at most 16 of a category."""
        clean = sanitise(text)
        runs = find_hidden(clean)
        bases = base_views(clean)
        views = [*bases, *derive_views(bases)]
        views.extend(decoded_views(bases[-1], runs))
        if len(bases) > 1:
            views.extend(decoded_views(bases[0], ()))
        kept = _Kept()
        for view in views:
            self._observe(view, clean, kept)
        for run in runs:
            if run.smuggled:
                kept.hidden((run.start, run.end), f"{run.kind}: invisible characters spell words")
        return [
            Finding(
                category=item.category,
                severity=item.severity,
                detector=self.name,
                detector_version=self.version,
                where=CharacterSpan(start=item.span[0], end=item.span[1]),
                evidence=f"{item.evidence} ({item.view})",
            )
            for item in kept.observations()
        ]

    def _observe(self, view: View, original: str, kept: _Kept) -> None:
        hits = self._matcher.find(view)
        for hit in hits:
            section = hit.term.section
            if section.role == "report":
                kept.add(
                    _Observation(
                        category=section.category,
                        severity=section.severity,
                        span=hit.span,
                        evidence=f"{section.name}: {hit.term.text}",
                        view=hit.view.name,
                        tricky=_is_tricky(hit.view, original, hit.span),
                    )
                )
        for match in self._combiner.find(view, hits):
            combination = match.combination
            kept.add(
                _Observation(
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
    if view.name != "latin":
        return False
    # A word in another script is a language; a word in two scripts is a disguise.
    letters = [char for char in original[span[0] : span[1]] if char.isalpha()]
    return any(char.isascii() for char in letters) and not all(char.isascii() for char in letters)


class _Kept:
    """Observations without repetition: the first view that shows something wins."""

    def __init__(self) -> None:
        self._by_category: dict[str, list[_Observation]] = {}

    def add(self, item: _Observation) -> None:
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
            self._evasion(2 if item.severity >= 2 else 1, item.span, item.view)

    def hidden(self, span: tuple[int, int], evidence: str) -> None:
        self._evasion(2, span, evidence)

    def _evasion(self, severity: int, span: tuple[int, int], view: str) -> None:
        self.add(
            _Observation(
                category="evasion",
                severity=severity,
                span=span,
                evidence="hidden words",
                view=view,
                tricky=False,
            )
        )

    def observations(self) -> Iterable[_Observation]:
        for known in self._by_category.values():
            yield from known


def default_prompt_checks(pack: Pack) -> tuple[PromptCheck, ...]:
    """The checks that ship with the project, ready for ``pack``. Making them compiles its lexicons."""
    from guarded_sora.policies.text.personal import PersonalDataCheck

    return (LexiconCheck(pack), PersonalDataCheck())
