"""Terms of a lexicon: the text format, brace expansion, and the values it becomes.

    # a comment
    [gore_acts] category=violence.graphic severity=3 language=en
    behead{,s,ed,ing}
    blood bath

A section reports its terms unless it says otherwise: ``role=group`` terms only count inside a
combination, ``role=exempt`` phrases cancel every hit that lies inside them ("bath bomb"),
``role=guard`` words are real words that must not be taken for typos ("modest").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from guarded_sora.policies.errors import PackInvalid
from guarded_sora.policies.taxonomy import CATEGORIES

MAX_TERM_LENGTH: Final = 80
MAX_EXPANSION: Final = 4096
MAX_TERMS: Final = 500_000

Role = Literal["report", "group", "exempt", "guard"]
_ROLES: Final[dict[str, Role]] = {"report": "report", "group": "group", "exempt": "exempt", "guard": "guard"}
_HEADER = re.compile(r"^\[([a-z0-9_]+)\]((?:\s+[a-z_]+=[A-Za-z0-9_.-]+)*)\s*$")
_BRACE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A named list of terms. ``category`` is empty and ``severity`` 0 for groups and exemptions."""

    name: str
    role: Role
    category: str
    severity: int
    language: str
    terms: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """Groups of sections that mean something only together.

    Each member of ``groups`` names sections of which one must hit; the hits must not overlap and
    lie within ``within`` characters of the first (0 = anywhere); ``ordered`` asks for the order
    given. A hit of a section in ``unless`` in the same reach cancels it.
    """

    id: str
    category: str
    severity: int
    groups: tuple[tuple[str, ...], ...]
    unless: tuple[str, ...] = ()
    within: int = 60
    ordered: bool = False


def expand_braces(line: str) -> list[str]:
    """``behead{,s,ed}`` -> behead, beheads, beheaded. Raises ``ValueError`` beyond 4,096 results."""
    results = [""]
    position = 0
    for match in _BRACE.finditer(line):
        before = line[position : match.start()]
        results = [done + before + choice for done in results for choice in match[1].split(",")]
        if len(results) > MAX_EXPANSION:
            raise ValueError(f"expands to more than {MAX_EXPANSION} terms")
        position = match.end()
    tail = line[position:]
    if "{" in tail or "}" in tail:
        raise ValueError("has a brace that does not close")
    return [" ".join((done + tail).split()) for done in results]


def parse_lexicon(name: str, text: str) -> list[Section]:
    """The sections of one lexicon file. Raises :class:`PackInvalid` with file and line."""
    sections: list[Section] = []
    header: Section | None = None
    terms: dict[str, None] = {}

    def close() -> None:
        if header is None:
            return
        if not terms:
            raise PackInvalid(f"{name}: the section {header.name!r} is empty; remove it or add a term.")
        sections.append(
            Section(
                name=header.name,
                role=header.role,
                category=header.category,
                severity=header.severity,
                language=header.language,
                terms=tuple(terms),
            )
        )

    total = 0
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            close()
            header, terms = _header(f"{name}:{number}", line), {}
            continue
        if header is None:
            raise PackInvalid(f"{name}:{number}: a term stands before any [section]; add a header above it.")
        try:
            expanded = expand_braces(line)
        except ValueError as error:
            raise PackInvalid(f"{name}:{number}: the term {error}; write it shorter.") from error
        for term in expanded:
            if not term or len(term) > MAX_TERM_LENGTH:
                raise PackInvalid(f"{name}:{number}: a term needs 1 to {MAX_TERM_LENGTH} characters.")
            terms[term] = None
        total += len(expanded)
        if total > MAX_TERMS:
            raise PackInvalid(f"{name}: more than {MAX_TERMS} terms; split the pack.")
    close()
    return sections


def _header(where: str, line: str) -> Section:
    match = _HEADER.match(line)
    if match is None:
        raise PackInvalid(f"{where}: write a section as [name] category=... severity=... language=...")
    options = dict(pair.split("=", 1) for pair in match[2].split())
    role = _ROLES.get(options.pop("role", "report"))
    category = options.pop("category", "")
    severity = options.pop("severity", "0")
    language = options.pop("language", "und")
    if options or role is None:
        raise PackInvalid(f"{where}: a section knows role, category, severity and language, nothing else.")
    if role == "report" and (category not in CATEGORIES or severity not in {"1", "2", "3"}):
        raise PackInvalid(
            f"{where}: a section that reports needs a category of the taxonomy and severity 1 to 3."
        )
    if role != "report" and (category or severity != "0"):
        raise PackInvalid(f"{where}: only a section that reports has a category and a severity.")
    return Section(
        name=match[1], role=role, category=category, severity=int(severity), language=language, terms=()
    )
