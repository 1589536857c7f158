import random

import pytest

from guarded_sora.policies.text.normalise import make_views, sanitise, squeeze_text, surface_text


def texts(text: str) -> set[str]:
    return {view.text for view in make_views(text)}


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("Balloon", "balloon"),
        ("ＢＡＬＬＯＯＮ", "balloon"),
        ("b\u200ba\u00adl\u2060l\u034fo\ufe0fo\u200dn", "balloon"),
        ("b̶a̶l̶l̶o̶o̶n̶", "balloon"),
        ("𝐛𝐚𝐥𝐥𝐨𝐨𝐧", "balloon"),
        ("ⓑⓐⓛⓛⓞⓞⓝ", "balloon"),
        ("🅱🅰🅻🅻🅾🅾🅽", "balloon"),
        ("🇧\u200c🇦\u200c🇱", "bal"),
        ("ραураl", "paypal"),
        ("bаllооn", "balloon"),
        ("b.a.l.l.o.o.n", "balloon"),
        ("b a l l o o n", "balloon"),
        ("b-a_l/l*o.o n", "balloon"),
        ("b4ll00n", "balloon"),
        ("ba11oon", "balloon"),
        ("sk1p", "skip"),
        ("$k!p", "skip"),
        ("баллон", "ballon"),
        ("naïve café", "naive cafe"),
        ("ｶﾞｽ", "ガス"),
        ("か\u3099す", "がす"),
        ("a 🔪 b", "a  kitchen knife  b"),
        ("stra\u00dfe", "strasse"),
    ],
)
def test_a_view_reads_what_a_reader_sees(text: str, reads: str) -> None:
    assert reads in texts(text)


def test_squeezed_views_collapse_every_run() -> None:
    view = next(v for v in make_views("a baaaalloooon") if v.squeezed)
    assert view.text == "a balon" and view.tricky
    assert squeeze_text("aabbcc\n\n") == "abc\n"


def test_transliteration_and_confusables_are_different_views() -> None:
    by_name = {view.name: view.text for view in make_views("ραyραl")}
    assert by_name["latin"] == "rayral" and by_name["skeleton"] == "paypal"


def test_plain_text_has_few_views_and_honest_typing_is_not_tricky() -> None:
    views = make_views("A red kite over the sea")
    assert [view.name for view in views] == ["surface"]
    assert views[0].starts is None and not views[0].tricky
    accents = make_views("Café Zürich")
    assert not accents[0].tricky and accents[0].text == "cafe zurich"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "B\u200bﬁg 𝐛oy",
        "ｶﾞｽ ﾀﾞ",
        "b.a.l.l 4 l1fe $o",
        "aaa\u0301\u0301bb",
        "🇧🇦 ﷺ ㍿ 🔪x",
        "\ud800a\udfff!",
        "İıſß",
    ],
)
def test_offsets_point_into_the_original(text: str) -> None:
    for view in make_views(text):
        assert (view.starts is None) == (view.ends is None)
        if view.starts is not None and view.ends is not None:
            assert len(view.starts) == len(view.ends) == len(view.text)
        for index in range(len(view.text)):
            start, end = view.span(index, index + 1)
            assert 0 <= start < end <= len(text)


def test_a_hit_maps_back_to_its_letters() -> None:
    text = "see a b\u200ba\u200bll, now"
    view = next(v for v in make_views(text) if "ball" in v.text)
    start = view.text.index("ball")
    first, last = view.span(start, start + 4)
    assert text[first:last] == "b\u200ba\u200bll"


def test_lone_surrogates_are_replaced_in_place() -> None:
    assert sanitise("a\ud800b\udc00") == "a\ufffdb\ufffd"
    assert sanitise("plain") == "plain"
    assert all("\ud800" not in view.text for view in make_views("a\ud800b"))


def test_terms_are_stored_as_the_surface_view_shows_them() -> None:
    for text in ("Crème BRÛLÉE", "ＡＢＣ", "ﾇｰﾄﾞ", "ß"):
        assert make_views(text)[0].text == surface_text(text) or "ﾞ" in text


def test_random_unicode_never_raises() -> None:
    draw = random.Random(11)
    for _ in range(300):
        limits = [draw.choice([0x80, 0x3000, 0x110000]) for _ in range(draw.randrange(60))]
        text = "".join(chr(draw.randrange(limit)) for limit in limits)
        for view in make_views(text):
            if view.text:
                start, end = view.span(0, len(view.text))
                assert 0 <= start < end <= len(text)
