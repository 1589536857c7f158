import pytest

from guarded_sora.policies.text.combine import Combiner
from guarded_sora.policies.text.lexicon import Matcher
from guarded_sora.policies.text.normalise import make_views
from guarded_sora.policies.text.terms import Combination, Section, expand_braces, parse_lexicon

LEXICON = """
[things] category=disturbing severity=3 language=en
bomb
bomb making
purple cow
asses
モグラ
紫
[mild] category=disturbing severity=1 language=en
cloud
[safe] role=exempt
bath bomb{,s}
モグラ叩き
[colour] role=group
red
[shape] role=group
ball
red ball game
[sunny] role=group
sunshine
"""
SECTIONS = parse_lexicon("t", LEXICON)
MATCHER = Matcher(SECTIONS)


def found(text: str) -> set[str]:
    return {hit.term.text for view in make_views(text) for hit in MATCHER.find(view)}


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("a bomb", {"bomb"}),
        ("bombs and bombast", set()),
        ("bomb makings", {"bomb"}),
        ("bomb making", {"bomb making"}),
        ("bomb, bomb", {"bomb"}),
        ("a bath bomb", set()),
        ("a bath bomb beside a bomb", {"bomb"}),
        ("PURPLE  COW", {"purple cow"}),
        ("purple-\ncow", {"purple cow"}),
        ("purple. cow", set()),
        ("purplecow", {"purple cow"}),
        ("p u r p l e c o w", {"purple cow"}),
        ("b*mb", {"bomb"}),
        ("boooomb", {"bomb"}),
        ("boomb", set()),
        ("glasses", set()),
        ("ases", set()),
        ("モグラの絵", {"モグラ"}),
        ("小さなモグラ", {"モグラ"}),
        ("アモグラ", set()),
        ("モグラ叩きで遊ぶ", set()),
        ("モ○ラ", {"モグラ"}),
        ("深紫色", {"紫"}),
        ("", set()),
    ],
)
def test_words_boundaries_and_exemptions(text: str, terms: set[str]) -> None:
    assert found(text) - {"bath bomb", "bath bombs", "モグラ叩き"} == terms


def test_decoded_views_see_only_severity_three_and_groups() -> None:
    from dataclasses import replace

    view = replace(make_views("red bomb in a cloud")[0], decoded=True)
    assert {hit.term.text for hit in MATCHER.find(view)} == {"bomb", "red"}


def test_an_empty_lexicon_finds_nothing() -> None:
    assert Matcher([]).find(make_views("anything at all")[0]) == []


def combine(text: str, **changes: object) -> list[str]:
    settings: dict[str, object] = {
        "id": "c", "category": "hate", "severity": 2, "groups": (("colour",), ("shape",)), "within": 10,
    }  # fmt: skip
    combination = Combination(**{**settings, **changes})  # type: ignore[arg-type]
    view = make_views(text)[0]
    return [m.combination.id for m in Combiner([combination]).find(view, MATCHER.find(view))]


@pytest.mark.parametrize(
    ("text", "changes", "hit"),
    [
        ("a red ball", {}, True),
        ("a ball, red", {}, True),
        ("a ball, red", {"ordered": True}, False),
        ("red then ball", {"ordered": True}, True),
        ("red and then much later a ball", {}, False),
        ("red and then much later a ball", {"within": 0}, True),
        ("a red ball in sunshine", {"unless": ("sunny",)}, False),
        ("a red ball and far, far, far away sunshine", {"unless": ("sunny",)}, True),
        ("red ball game", {}, False),
        ("only red", {}, False),
    ],
)
def test_combinations(text: str, changes: dict[str, object], hit: bool) -> None:
    assert combine(text, **changes) == (["c"] if hit else [])


def test_a_flood_of_hits_does_not_hide_a_late_combination() -> None:
    assert combine("red " * 5000 + "x " * 50 + "ball red") == ["c"]


def test_expand_braces() -> None:
    assert expand_braces("a {b,c} d{,s}") == ["a b d", "a b ds", "a c d", "a c ds"]
    assert expand_braces("plain  words ") == ["plain words"]
    for bad in ("{a", "a}", "{a,{b}}"):
        with pytest.raises(ValueError):
            expand_braces(bad)


def test_sections_keep_order_and_drop_doubles() -> None:
    (section,) = parse_lexicon("t", "[a] role=group language=en\nx\ny\nx\n# c\n")
    assert section == Section(
        name="a", role="group", category="", severity=0, language="en", terms=("x", "y")
    )  # fmt: skip
