import pytest

from guarded_sora.policies.finding import RequestContext
from guarded_sora.policies.text.personal import MAX_FINDINGS, PersonalDataCheck, iban_holds, luhn_holds


def kinds(text: str) -> list[tuple[str, int]]:
    return [(f.evidence, f.severity) for f in PersonalDataCheck().check(text, RequestContext())]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("card 4111 1111 1111 1111", [("card number", 3)]),
        ("card 4111 1111 1111 1112", []),
        ("4111-1111-1111-1111", [("card number", 3)]),
        ("０４１１１ ４１１１", []),
        ("ｃａｒｄ ４１１１１１１１１１１１１１１１", [("card number", 3)]),
        ("DE89 3704 0044 0532 0130 00", [("account number", 3)]),
        ("DE88 3704 0044 0532 0130 00", []),
        ("078-05-1120", [("social security number", 3)]),
        ("900-12-3456", []),
        ("jane.doe+x@mail.example.com", [("mail address", 2)]),
        ("call +44 20 7946 0958 now", [("phone number", 2)]),
        ("(212) 555-0188", [("phone number", 2)]),
        ("03-1234-5678", [("phone number", 2)]),
        ("12 Long Maple Street, Springfield 62704", [("street address", 2)]),
        ("12 cars on a street in 1962", []),
        ("0000 0000 0000 0000", []),
        ("3.14159 2653589793", []),
        ("", []),
    ],
)
def test_by_form_and_check_digit(text: str, expected: list[tuple[str, int]]) -> None:
    assert kinds(text) == expected


def test_check_digits() -> None:
    assert luhn_holds("79927398713") and not luhn_holds("79927398710")
    assert iban_holds("GB82 WEST 1234 5698 7654 32") and not iban_holds("GB82")


def test_many_are_bounded() -> None:
    assert len(kinds("a@b.example " * 100)) == MAX_FINDINGS
