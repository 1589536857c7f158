"""Random Unicode, megabytes, nested encodings and lone surrogates: no crash, and time linear in length.

Time is measured in the soak alone, and there as CPU time of this thread.
"""

import base64
import codecs
import random
import sys
import time
from collections.abc import Callable

import pytest

from guarded_sora.policies.engine import PolicyEngine
from guarded_sora.policies.finding import RequestContext
from guarded_sora.policies.pack import load_pack
from guarded_sora.policies.text.check import PromptCheck, default_prompt_checks, unavailable_reason
from guarded_sora.policies.text.reading import one_request

CONTEXT = RequestContext(age_tier="adult", region="US")
MS_A_KILOBYTE = 100.0
LEAST_KILOBYTES = 1.0  # a prompt of a few bytes pays what any prompt pays
WORDS = (
    "a quiet harbour", "beheading", "裸の女性", "голая", "سلاح", "kill the man", "p0rn", "s e x",
    "刺す", "suicide", "swastika", "drop table", "\\x41\\u0042", "&#x62;", "%6b%69", "🔪🩸", "n.u.d.e",
)  # fmt: skip


def unicode_noise(draw: random.Random, size: int) -> str:
    return "".join(chr(draw.randrange(sys.maxunicode + 1)) for _ in range(size))


def surrogates(draw: random.Random, size: int) -> str:
    return "".join(
        chr(draw.randrange(0xD800, 0xE000)) if draw.random() < 0.5 else draw.choice(WORDS)
        for _ in range(size)
    )


def marks(draw: random.Random, size: int) -> str:
    return "a" + "".join(
        chr(draw.choice((0x300, 0x336, 0x20E3, 0x200B, 0x202E, 0xE0041))) for _ in range(size)
    )


def phrases(draw: random.Random, size: int) -> str:
    parts: list[str] = []
    while sum(map(len, parts)) < size:
        parts.append(draw.choice(WORDS) + draw.choice((" ", "", ", ", "\n", "・", "\u3000")))
    return "".join(parts)


def nested(draw: random.Random, size: int) -> str:
    text = phrases(draw, max(size // 20, 4))
    wrap: tuple[Callable[[str], str], ...] = (
        lambda s: base64.b64encode(s.encode("utf-8", "replace")).decode(),
        lambda s: s.encode("utf-8", "replace").hex(),
        lambda s: codecs.encode(s, "rot13"),
        lambda s: "".join(f"%{byte:02x}" for byte in s.encode("utf-8", "replace")),
        lambda s: "".join(f"&#{ord(char)};" for char in s),
        lambda s: s[::-1],
    )
    for _ in range(draw.randint(1, 4)):
        text = draw.choice(wrap)(text)[: 4 * size]
    return text


def repeats(draw: random.Random, size: int) -> str:
    return (
        draw.choice(("a", "(", "a*", "\u3042", "1!", "= ", "%41", "\\u0", "- ", ".", "x\u0336", "QUJD"))
        * size
    )


KINDS = (unicode_noise, surrogates, marks, phrases, nested, repeats)


def prompt(number: int) -> str:
    """Prompt ``number`` of the fuzz; one in a thousand has about a megabyte."""
    draw = random.Random(number)
    kind = KINDS[number % len(KINDS)]
    if number % 1000 == 999:
        return (kind(draw, 4000) * 300)[:1_000_000]
    return kind(draw, int(10 ** draw.uniform(0, 3.3)))


@pytest.fixture(scope="module")
def judge() -> Callable[[str], None]:
    pack = load_pack()
    checks: tuple[PromptCheck, ...] = tuple(
        c for c in default_prompt_checks(pack) if not unavailable_reason(c)
    )
    engine = PolicyEngine(pack)

    def run(text: str) -> None:
        with one_request():
            found = [finding for check in checks for finding in check.check(text, CONTEXT)]
        engine.decide(found, CONTEXT)

    for kind in KINDS:
        run(kind(random.Random(0), 20))  # whatever is made once
    return run


def too_slow(judge: Callable[[str], None], text: str) -> float | None:
    """Milliseconds a kilobyte when they are over the bound, in the better of two runs."""
    kilobytes = max(len(text.encode("utf-8", "replace")) / 1000, LEAST_KILOBYTES)
    best = float("inf")
    for _ in range(2):
        start = time.thread_time()
        judge(text)
        best = min(best, 1000 * (time.thread_time() - start) / kilobytes)
        if best <= MS_A_KILOBYTE:
            return None
    return best


@pytest.mark.timeout(120)
def test_a_sample_of_the_fuzz_ends_without_a_crash(judge: Callable[[str], None]) -> None:
    for number in range(100):
        judge(prompt(number))


def test_every_kind_of_prompt_is_in_the_sample() -> None:
    assert {number % len(KINDS) for number in range(100)} == set(range(len(KINDS)))
    assert len(prompt(999)) == 1_000_000 and any(0xD800 <= ord(c) < 0xE000 for c in prompt(1))


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_ten_thousand_prompts(judge: Callable[[str], None]) -> None:
    slow = {number: ms for number in range(10_000) if (ms := too_slow(judge, prompt(number))) is not None}
    assert slow == {}
