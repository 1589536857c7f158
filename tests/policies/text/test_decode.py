import base64
import random

import pytest

from guarded_sora.policies.text.decode import decoded_views, find_hidden
from guarded_sora.policies.text.normalise import base_views, sanitise

SECRET = "balloon party"


def read(text: str) -> set[str]:
    clean = sanitise(text)
    return {view.text for view in decoded_views(base_views(clean)[-1], find_hidden(clean))}


def encode(kind: str) -> str:
    raw = SECRET.encode()
    return {
        "base64": base64.b64encode(raw).decode(),
        "glued": "x" + base64.b64encode(raw).decode(),
        "urlsafe": base64.urlsafe_b64encode(raw).decode().rstrip("="),
        "twice": base64.b64encode(base64.b64encode(raw)).decode(),
        "hex": raw.hex(),
        "spaced hex": raw.hex(" "),
        "escaped hex": "".join(f"\\x{byte:02x}" for byte in raw),
        "hex in base64": base64.b64encode(raw.hex().encode()).decode(),
        "binary": " ".join(f"{byte:08b}" for byte in raw),
        "percent": "".join(f"%{byte:02x}" for byte in raw),
        "entity": "".join(f"&#{byte};" for byte in raw),
        "hex entity": "".join(f"&#x{byte:x};" for byte in raw),
        "escape": "".join(f"\\u{byte:04x}" for byte in raw),
        "tags": "".join(chr(0xE0000 + byte) for byte in raw),
        "reversed": SECRET[::-1],
        "override": "\u202e" + SECRET[::-1] + "\u202c",
        "rot13": "onyybba cnegl",
        "reversed base64": base64.b64encode(SECRET[::-1].encode()).decode(),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "base64", "glued", "urlsafe", "twice", "hex", "spaced hex", "escaped hex", "hex in base64",
        "binary",
        "percent", "entity", "hex entity", "escape", "tags", "reversed", "override", "rot13",
        "reversed base64",
    ],
)  # fmt: skip
def test_every_encoding_is_read(kind: str) -> None:
    assert any(SECRET in text for text in read(f"A film, {encode(kind)}")), kind


def test_decoded_views_are_marked_and_point_at_the_encoded_run() -> None:
    text = f"see {encode('base64')} now"
    view = next(v for v in decoded_views(base_views(text)[0], find_hidden(text)) if v.text == SECRET)
    assert view.decoded and view.tricky
    start, end = view.span(0, 3)
    assert text[start:end] == encode("base64")


@pytest.mark.parametrize(
    "text",
    [
        "international relationships",
        "a 1920x1080 film at 24fps",
        "deadbeef cafe",
        "AAAAAAAAAAAA",
        "",
        "Strengths",
    ],
)
def test_ordinary_words_hide_nothing(text: str) -> None:
    assert find_hidden(text) == []


def test_flags_spelled_with_tags_hide_nothing() -> None:
    flag = "\U0001f3f4" + "".join(chr(0xE0000 + ord(c)) for c in "gbeng") + "\U000e007f"
    assert find_hidden(f"a {flag} flag") == []
    assert find_hidden("a " + encode("tags"))[0].smuggled


def test_work_is_bounded_for_nested_and_endless_encodings() -> None:
    text = SECRET
    for _ in range(12):
        text = base64.b64encode(text.encode()).decode()
    views = decoded_views(base_views(text)[0], find_hidden(text))
    assert sum(len(view.text) for view in views) < 40 * len(text)
    many = " ".join([encode("base64")] * 3000)
    views = decoded_views(base_views(many)[0], find_hidden(many))
    assert sum(len(view.text) for view in views) < 40 * len(many)


def test_hostile_input_never_raises() -> None:
    draw = random.Random(3)
    alphabet = "AZaz09+/=%&#;x\\u01 \udc00\U000e0041\ufe01\u200b"
    for _ in range(400):
        find_hidden(sanitise("".join(draw.choice(alphabet) for _ in range(draw.randrange(80)))))
