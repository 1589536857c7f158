"""Prompt checks: what others may implement, and the ones that ship with the project."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from guarded_sora.policies.finding import CheckRun, CheckState, Finding, RequestContext
from guarded_sora.policies.text.observe import MAX_PER_CATEGORY, TermSearch, as_findings

if TYPE_CHECKING:
    from guarded_sora.policies.pack import Pack

__all__ = [
    "MAX_PER_CATEGORY",
    "LexiconCheck",
    "LimitedCheck",
    "ModelCheck",
    "PromptCheck",
    "default_prompt_checks",
    "run_prompt_check",
    "unavailable_reason",
    "weights_of",
]


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


@runtime_checkable
class ModelCheck(PromptCheck, Protocol):
    """A prompt check around a model or a service that may not be there."""

    @property
    def unavailable(self) -> str:
        """Why it cannot run here, in one sentence; empty when it can. It is recorded, never passed over."""
        ...

    @property
    def weights_sha256(self) -> str | None:
        """Of the weights that were read; None for a service."""
        ...


@runtime_checkable
class LimitedCheck(ModelCheck, Protocol):
    """A model that does not read every text."""

    def cannot_read(self, text: str) -> str:
        """Why it says nothing about ``text``, such as its script; empty when it can."""
        ...


def unavailable_reason(check: PromptCheck, text: str = "") -> str:
    """Why ``check`` cannot run here, or not on ``text``; empty when it can."""
    # Asked for by name: isinstance() of a protocol looks at every member, which costs 0.15 ms a prompt.
    reason: str = getattr(check, "unavailable", "")
    if not reason and text:
        cannot_read: Callable[[str], str] | None = getattr(check, "cannot_read", None)
        reason = cannot_read(text) if cannot_read is not None else ""
    return reason


def weights_of(check: PromptCheck) -> str | None:
    """SHA-256 of the weights behind ``check``; None when it has none."""
    weights: str | None = getattr(check, "weights_sha256", None)
    return weights


def run_prompt_check(
    check: PromptCheck, text: str, context: RequestContext
) -> tuple[tuple[Finding, ...], CheckRun]:
    """Run one check in this thread; one that raises is a failed check, one without its model unavailable."""
    start = time.perf_counter()
    seen: tuple[Finding, ...] = ()
    state, reason = CheckState.RAN, unavailable_reason(check, text)
    if reason:
        state = CheckState.UNAVAILABLE
    else:
        try:
            seen = tuple(check.check(text, context))
        except Exception as error:
            # The kind of error alone: its text may hold words of the prompt.
            state, reason = CheckState.FAILED, type(error).__name__
    run = CheckRun(
        name=check.name,
        version=check.version,
        state=state,
        reason=reason,
        result=f"{len(seen)} findings" if seen else "",
        score=max((finding.score for finding in seen if finding.score is not None), default=None),
        ms=1000.0 * (time.perf_counter() - start),
        weights_sha256=weights_of(check),
    )
    return seen, run


class LexiconCheck:
    """The terms and combinations of a pack, in every view of the prompt, and severe terms misspelled.

    A term that shows only in a view that undoes a disguise also raises ``evasion``.
    """

    name = "lexicon"
    version = "1.1.0"

    def __init__(self, pack: Pack) -> None:
        self._search = TermSearch(
            pack.lexicons.sections,
            pack.lexicons.combinations,
            decode=True,
            typo_terms=lambda term: term.section.role == "report" and term.section.severity == 3,
            mend=True,
            guards=pack.lexicons.guards,
        )

    def check(self, text: str, context: RequestContext) -> Sequence[Finding]:
        """Findings in the order of the text's views; at most 16 of a category."""
        return as_findings(self.name, self.version, self._search.search(text))


def default_prompt_checks(pack: Pack) -> tuple[PromptCheck, ...]:
    """The checks that ship with the project, ready for ``pack``. Making them compiles its lexicons."""
    from guarded_sora.policies.text.classify import ClassifierCheck
    from guarded_sora.policies.text.names import NamesCheck
    from guarded_sora.policies.text.personal import PersonalDataCheck
    from guarded_sora.policies.text.sequence import SequenceCheck

    return (LexiconCheck(pack), NamesCheck(pack), SequenceCheck(pack), PersonalDataCheck(), ClassifierCheck())
