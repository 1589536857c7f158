"""The artwork of the visible labels: white text as alpha masks, one PNG a text.

Ready-made masks instead of fonts: the pixels are the same on every machine, scripts that need shaping
(Devanagari) need no text engine, and our own labels can be recognised by matching this very art.
"""
