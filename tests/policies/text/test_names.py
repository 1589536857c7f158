from collections.abc import Iterable

import pytest

from guarded_sora.policies.errors import PolicyError
from guarded_sora.policies.finding import CharacterSpan, RequestContext
from guarded_sora.policies.pack import load_pack
from guarded_sora.policies.text.names import Name, NamesCheck, NameSource

ADULT = RequestContext(age_tier="adult", region="US")


class Operators:
    """A source as an operator writes one."""

    version = "7"

    def __init__(self, *names: Name) -> None:
        self._names = names

    def names(self) -> Iterable[Name]:
        return self._names


@pytest.fixture(scope="module")
def shipped() -> NamesCheck:
    return NamesCheck(load_pack())


def categories(check: NamesCheck, text: str, context: RequestContext = ADULT) -> set[tuple[str, int]]:
    return {(finding.category, finding.severity) for finding in check.check(text, context)}


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("elon musk on a horse", "likeness.public"),
        ("ELON MUSK", "likeness.public"),
        ("еlоn musk", "likeness.public"),
        ("e l o n m u s k", "likeness.public"),
        ("elon_musk", "likeness.public"),
        ("elonmusk", "likeness.public"),
        ("scarlet johansson", "likeness.public"),
        ("the actress who played hermione granger", "likeness.public"),
        ("the ceo of microsoft", "likeness.public"),
        ("イーロン・マスク", "likeness.public"),
        ("princess diana", "likeness.deceased"),
        ("sponge bob: spongebob squarepant", "ip.character"),
        ("P1kachu", "ip.character"),
        ("ピカチュウ", "ip.character"),
        ("art by greg rutkowski", "ip.style_living_artist"),
        ("wes anderson style hallway", "ip.style_living_artist"),
        ("ジブリ風の町", "ip.style_living_artist"),
        ("sings bohemian rhapsody", "ip.music"),
        ("Путина на велосипеде", "likeness.public"),
        ("فيديو لمحمد صلاح", "likeness.public"),
        ("손흥민이 빵을 굽는다", "likeness.public"),
        ("马斯克在月球上", "likeness.public"),
        ("藤井聡太がラーメンを食べる", "likeness.public"),
        ("विराट कोहली नाचते हैं", "likeness.public"),
        ("el presidente del gobierno vende lotería", "likeness.public"),
        ("a singer, indistinguishable from the real woman", "likeness.public"),
        ("ayrton senna waves", "likeness.deceased"),
        ("Чебурашку катают на санках", "ip.character"),
        ("뽀로로가 라면을 먹는다", "ip.character"),
        ("логотип яндекса над городом", "ip.brand"),
        ("a corridor in the style of katsuhiro otomo", "ip.style_living_artist"),
    ],
)
def test_names_are_found(shipped: NamesCheck, text: str, category: str) -> None:
    assert (category, 2) in categories(shipped, text)


@pytest.mark.parametrize(
    "text",
    [
        "an elongated musk ox",
        "green apples and orange peel",
        "a shell on the beach",
        "wes and anderson walk",
        "a bruce tree and a lee shore",
        "greg paints a fence",
        "the jokers in a deck of cards",
        "let it go, said the child about the kite",
        "a tall trumpet player",
        "",
    ],
)
def test_common_words_are_no_names(shipped: NamesCheck, text: str) -> None:
    assert not {pair for pair in categories(shipped, text) if pair[1] >= 2}


def test_a_brand_is_noted_and_its_logo_stands_out(shipped: NamesCheck) -> None:
    assert categories(shipped, "a can of pepsi") == {("ip.brand", 1)}
    assert ("ip.brand", 2) in categories(shipped, "the pepsi logo")


def test_operators_names_aliases_and_slips_are_found() -> None:
    source = Operators(
        Name(name="Zorblax Quintle", category="likeness.private", aliases=("ゾルブラックス", "Zorbie Q")),
        Name(name="Flimmerwerk", category="ip.brand", severity=3),
    )
    check = NamesCheck(load_pack(), [source])
    assert isinstance(source, NameSource) and check.version.endswith("+7")
    for text in (
        "zorblax quintle",
        "Zorblax Quintel",
        "a ゾルブラックス film",
        "z0rbl4x quintle",
        "zorbie q",
    ):
        assert ("likeness.private", 2) in categories(check, text), text
    assert ("ip.brand", 3) in categories(check, "flimerwerk tower")
    text = "at the sea, Zorblax  Quintle waves"
    (finding,) = [f for f in check.check(text, ADULT) if f.category == "likeness.private"]
    assert isinstance(finding.where, CharacterSpan)


def test_a_consent_on_record_lifts_only_its_own_name() -> None:
    source = Operators(
        Name(name="Zorblax Quintle", category="likeness.private", consent="c-1"),
        Name(name="Marbella Vont", category="likeness.private", consent="c-2"),
    )
    check = NamesCheck(load_pack(), [source])
    holder = RequestContext(consents=("c-1",))
    assert ("likeness.private", 2) in categories(check, "zorblax quintle waves")
    assert ("likeness.private", 2) not in categories(check, "zorblax quintle waves", holder)
    assert ("likeness.private", 2) in categories(check, "marbella vont waves", holder)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (Name(name="x", category="likeness.public"), "2 to 80"),
        (Name(name="ok", category="likeness.public", aliases=("y" * 99,)), "2 to 80"),
        (Name(name="fine", category="hate"), "likeness"),
        (Name(name="fine", category="nothing"), "likeness"),
        (Name(name="fine", category="ip.brand", severity=0), "1 to 3"),
    ],
)
def test_names_that_cannot_be_looked_for_are_refused(name: Name, says: str) -> None:
    with pytest.raises(PolicyError, match=says):
        NamesCheck(load_pack(), [Operators(name)])


@pytest.mark.parametrize(
    "text",
    [
        "a big bird on a fence",
        "he pulls the trigger of a water pistol",
        "una veleta con forma de gallo",
        "an electrical transformer in a field",
        "una pele di serpente sulla sabbia",
        "a painting of a madonna with a child",
        "a girl named adele reads",
        "a milka cow",
        "望子成龙的父亲",
    ],
    ids=range(9),
)
def test_words_that_are_near_a_name_are_let_pass(shipped: NamesCheck, text: str) -> None:
    assert {item for item in categories(shipped, text) if item[1] >= 2} == set()
