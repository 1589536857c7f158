"""Prompt checks: what others may implement, and the ones that ship with the project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from guarded_sora.policies.finding import Finding, RequestContext
from guarded_sora.policies.text.observe import MAX_PER_CATEGORY, TermSearch, as_findings

if TYPE_CHECKING:
    from guarded_sora.policies.pack import Pack

__all__ = ["MAX_PER_CATEGORY", "LexiconCheck", "PromptCheck", "default_prompt_checks"]


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
    from guarded_sora.policies.text.names import NamesCheck
    from guarded_sora.policies.text.personal import PersonalDataCheck
    from guarded_sora.policies.text.sequence import SequenceCheck

    return (LexiconCheck(pack), NamesCheck(pack), SequenceCheck(pack), PersonalDataCheck())
