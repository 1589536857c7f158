"""Personal data in a prompt: addresses of mail, phone, card, account and identity numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from guarded_sora.policies.finding import CharacterSpan, Finding, RequestContext
from guarded_sora.policies.text.reading import read

MAX_FINDINGS: Final = 16

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,4}[a-z]{2,24}(?!\w)", re.IGNORECASE)
_CARD = re.compile(r"(?<!\d)(?:\d[ -]?){12,18}\d(?!\d)")
_IBAN = re.compile(r"(?<!\w)[a-z]{2}\d{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,4})?(?!\w)", re.IGNORECASE)
_US_SSN = re.compile(r"(?<!\d)(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?!\d)")
_PHONE = re.compile(
    r"(?<![\w.])(?:\+\d{1,3}[ .-]?(?:\(?\d{1,4}\)?[ .-]?){2,4}\d{2,4}"
    r"|\(\d{3}\)[ ]?\d{3}-\d{4}|\d{3}-\d{3}-\d{4}|0\d{1,4}-\d{1,4}-\d{4})(?![\w-])"
)
_STREET = re.compile(
    r"(?<!\w)\d{1,5} (?:[a-z]{2,20} ){1,3}(?:street|avenue|boulevard|lane|drive|court|road|way|square|apt)\b"
    r"(?=.{0,40}?\b\d{5}\b)",
    re.IGNORECASE,
)


def luhn_holds(digits: str) -> bool:
    """Whether the check digit of a card number fits (ISO/IEC 7812-1, annex B)."""
    total = 0
    for index, char in enumerate(reversed(digits)):
        value = int(char) * (2 if index % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def iban_holds(text: str) -> bool:
    """Whether the check digits of an account number fit (ISO 13616)."""
    compact = text.replace(" ", "").upper()
    if not 15 <= len(compact) <= 34:
        return False
    moved = compact[4:] + compact[:4]
    return int("".join(str(int(char, 36)) for char in moved)) % 97 == 1


class PersonalDataCheck:
    """Finds personal data by its form, and by its check digits where it has them."""

    name = "personal_data"
    version = "1.0.0"

    def check(self, text: str, context: RequestContext) -> Sequence[Finding]:
        """Severity 3 for numbers that open accounts or identities, 2 for ways to reach a person."""
        view = read(text).bases[0 if text.isascii() else -1]
        found: list[tuple[int, int, int, str]] = []
        for match in _CARD.finditer(view.text):
            digits = re.sub(r"\D", "", match[0])
            if luhn_holds(digits) and len(set(digits)) > 1:
                found.append((match.start(), match.end(), 3, "card number"))
        for match in _IBAN.finditer(view.text):
            if iban_holds(match[0]):
                found.append((match.start(), match.end(), 3, "account number"))
        for pattern, severity, what in (
            (_US_SSN, 3, "social security number"),
            (_EMAIL, 2, "mail address"),
            (_PHONE, 2, "phone number"),
            (_STREET, 2, "street address"),
        ):
            found.extend((m.start(), m.end(), severity, what) for m in pattern.finditer(view.text))
        findings: list[Finding] = []
        taken: list[tuple[int, int]] = []
        for start, end, severity, what in sorted(found, key=lambda item: -item[2]):
            if len(findings) >= MAX_FINDINGS:
                break
            if any(start < last and first < end for first, last in taken):
                continue
            taken.append((start, end))
            first, last = view.span(start, end)
            findings.append(
                Finding(
                    category="privacy.pii",
                    severity=severity,
                    detector=self.name,
                    detector_version=self.version,
                    where=CharacterSpan(start=first, end=last),
                    evidence=what,
                )
            )
        return findings
