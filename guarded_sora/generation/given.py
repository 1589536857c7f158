"""What a film is made from besides words: a beginning, an end, or a film with a part to be made anew.

Legend: B films, C latent channels, K latent frames, h, w latent sides.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from guarded_sora.generation.windows import WINDOW, Window, plan_windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Latents of looks that are known before anything is made.

    ``begin`` and ``end`` (1, C, K, h, w) stand at the two ends; ``whole`` (1, C, K, h, w) stands wherever
    ``anew`` (h, w), bool, is False. ``loop``: the film comes back to its first picture.
    """

    begin: Tensor | None = None
    end: Tensor | None = None
    whole: Tensor | None = None
    anew: Tensor | None = None
    loop: bool = False

    def plan(self, total: int) -> tuple[Window, ...]:
        """The passes that make ``total`` latent frames."""
        begin = 0 if self.begin is None else self.begin.shape[2]
        end = int(self.loop) if self.end is None else self.end.shape[2]
        return planned(total, begin=begin, end=end, loop=self.loop, anew=self.anew is not None)


def planned(total: int, *, begin: int, end: int, loop: bool, anew: bool) -> tuple[Window, ...]:
    """The passes for numbers of latent frames given at both ends."""
    if loop and not begin:  # the first picture is made before it can be come back to
        return Window(start=0, length=1), *plan_windows(total, begin=1, end=1)
    return plan_windows(total, begin=begin, end=end, still=not anew)


class Canvas:
    """Latents of a film under construction (B, C + layout, K, h, w): what is there, and whether it is placed.

    ``looks`` of the channels say how things look; the rest is layout, which given frames come without.
    """

    def __init__(self, given: Given, total: int, like: Tensor, looks: int) -> None:
        """``like`` (B, C + layout, any, h, w) tells shape and type."""
        rows, channels, _, *sides = like.shape
        room = total + WINDOW  # the last window may reach beyond the end
        self._film = like.new_zeros((rows, channels, room, *sides))
        self._there = torch.zeros(room, dtype=torch.bool, device=like.device)
        self._placed = self._there.clone()
        self._looks, self._total, self._end = looks, total, 0
        self._kept = like.new_zeros((1, 1, room, *sides))
        if given.begin is not None:
            self.lay(given.begin, 0)
        if given.end is not None:
            self.lay_end(given.end)
        if given.whole is not None and given.anew is not None:
            count = min(room, given.whole.shape[2])
            self._film[:, :looks, :count] = given.whole[:, :, :count].to(like)
            self._kept[:, :, :count] = (~given.anew).to(like)

    def lay(self, latents: Tensor, at: int) -> None:
        """Put given looks (1 or B, C, K, h, w) down."""
        self._film[:, : self._looks, at : at + latents.shape[2]] = latents.to(self._film)
        self._there[at : at + latents.shape[2]] = True

    def lay_end(self, latents: Tensor) -> None:
        """Put given looks down at the end."""
        self._end = latents.shape[2]
        self.lay(latents, self._total - self._end)

    def open(self, window: Window) -> tuple[Tensor, Tensor]:
        """``known`` and ``mask`` (B, C + layout, length, h, w) of a window."""
        if window.forget is not None:
            again = slice(window.forget, self._total - self._end)
            self._there[again] = self._placed[again] = False
        part = slice(window.start, window.start + window.length)
        known = self._film[:, :, part].clone()
        mask = self._kept[:, :, part].expand_as(known).clone()
        mask[:, self._looks :] = 0
        mask[:, : self._looks, self._there[part]] = 1
        mask[:, self._looks :, self._placed[part]] = 1
        return known * mask, mask

    def close(self, window: Window, made: Tensor) -> None:
        """Take what a window made where nothing was; the layout of what was given comes with it."""
        part = slice(window.start, window.start + window.length)
        new = ~self._there[part]
        if window.start and new[0]:
            new[0] = False  # the latent of a picture, inside a film
            made = made[:, :, 1:]
            part = slice(window.start + 1, part.stop)
            new = new[1:]
        at = torch.arange(part.start, part.stop, device=new.device)
        self._film[:, :, at[new]] = made[:, :, new]
        bare = ~new & ~self._placed[part]
        self._film[:, self._looks :, at[bare]] = made[:, self._looks :, bare]
        self._there[part] = self._placed[part] = True

    @property
    def looks(self) -> Tensor:
        """How the whole film looks, (B, C, total, h, w)."""
        return self._film[:, : self._looks, : self._total]
