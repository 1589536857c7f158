"""Make the masks again: ``python -m guarded_sora.provenance.art.render FONT.ttf...``.

The masks in this folder were made from Noto Sans, Noto Sans SC, Noto Sans KR and Noto Sans Devanagari,
Bold (all SIL Open Font License 1.1), with resvg-py, which is a development dependency only.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image

TEXTS = {
    "en-generated": ("Noto Sans", "AI GENERATED"),
    "en-modified": ("Noto Sans", "AI MODIFIED"),
    "zh-generated": ("Noto Sans SC", "AI\u751f\u6210"),
    "zh-modified": ("Noto Sans SC", "AI\u5408\u6210"),
    "ko-generated": ("Noto Sans KR", "AI \uc0dd\uc131"),
    "ko-modified": ("Noto Sans KR", "AI \ud3b8\uc9d1"),
    "hi-generated": (
        "Noto Sans Devanagari",
        "\u090f\u0906\u0908 \u0928\u093f\u0930\u094d\u092e\u093f\u0924",
    ),
    "hi-modified": (
        "Noto Sans Devanagari",
        "\u090f\u0906\u0908 \u0938\u0902\u0936\u094b\u0927\u093f\u0924",
    ),
}
"""Font family and text of every mask: "AI generated" and "AI modified" in four languages."""

HEIGHT = 96
"""Ink height of a mask in pixels."""


def render(fonts: list[str], folder: Path) -> None:
    """Write one 8-bit mask a text, trimmed to its ink and ``HEIGHT`` pixels high."""
    import resvg_py

    for name, (family, text) in TEXTS.items():
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" width="2400" height="400">'
            f'<text x="100" y="260" font-family="{family}" font-weight="700" font-size="160" fill="#fff">'
            f"{text}</text>"
            "</svg>"
        )
        data = resvg_py.svg_to_bytes(svg_string=svg, font_files=fonts, skip_system_fonts=True)
        mask = Image.open(io.BytesIO(bytes(data))).convert("RGBA").getchannel("A")
        ink = mask.getbbox()
        if ink is None:
            raise SystemExit(f"no font given holds the family {family!r}")
        mask = mask.crop(ink)
        width = round(mask.width * HEIGHT / mask.height)
        mask.resize((width, HEIGHT), Image.Resampling.LANCZOS).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    render(sys.argv[1:], Path(__file__).parent)
