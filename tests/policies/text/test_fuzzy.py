import random
import string

import pytest

from guarded_sora.policies.text.fuzzy import TypoIndex, one_slip

TERMS = {"balloon": 0, "tangerine": 1, "amber collie": 2, "the marble": 3, "cat": 4, "o'hara kelly": 5}
GUARDS = {"ballroom", "tangerines"}


def typos(text: str, *, joined: bool = False) -> list[tuple[int, str]]:
    index = TypoIndex(TERMS, guards=GUARDS, joined=joined)
    return [(typo.term, text[typo.start : typo.end]) for typo in index.find(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a baloon", [(0, "baloon")]),
        ("a balllon", [(0, "balllon")]),
        ("a ballono", [(0, "ballono")]),
        ("a balloom", [(0, "balloom")]),
        ("a balloon", []),
        ("a walloon", []),
        ("a ballroom", []),
        ("two tangerines", []),
        ("a tangernie here", [(1, "tangernie")]),
        ("a cta", []),
        ("amber colly", []),
        ("", []),
    ],
)
def test_one_slip_in_a_word(text: str, found: list[tuple[int, str]]) -> None:
    assert typos(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("amber colllie", [(2, "amber colllie")]),
        ("ambercollie", []),
        ("ambercolie", [(2, "ambercolie")]),
        ("amb ercolie", []),
        ("the mable", [(3, "the mable")]),
        ("thy marble", []),
        ("o'hara keily", [(5, "o'hara keily")]),
    ],
)
def test_names_of_several_words(text: str, found: list[tuple[int, str]]) -> None:
    assert typos(text, joined=True) == found


def test_one_slip_agrees_with_the_definition() -> None:
    draw = random.Random(2)
    for _ in range(2000):
        word = "".join(draw.choice("abcd") for _ in range(draw.randint(1, 6)))
        near = {word[:i] + word[i + 1 :] for i in range(len(word))}
        near |= {word[:i] + c + word[i:] for i in range(len(word) + 1) for c in "abcd"}
        near |= {word[:i] + c + word[i + 1 :] for i in range(len(word)) for c in "abcd"}
        near |= {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)}
        other = "".join(draw.choice("abcd") for _ in range(draw.randint(1, 6)))
        assert one_slip(word, other) == (other in near or other == word)


def test_a_long_word_and_many_words_are_bounded() -> None:
    index = TypoIndex(TERMS, joined=True)
    assert list(index.find("a" * 100_000)) == []
    assert list(index.find(" ".join(string.ascii_lowercase) * 2000)) == []
    assert list(TypoIndex({}).find("anything")) == []
