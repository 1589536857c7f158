"""Trains the detector's residual network on pairs: a film and the same film through a decoder.

Both losses see a pair whole: one asks on which side each lies, the other only that the decoded film
scores above the film it came from, so what the two have in common (content, codec, rate) cancels out.

Legend: N blocks, n places a side, C numbers of a place, W width, H hidden.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from guarded_sora.detectors.synthetic.residual import CHANNELS, PLACES, ResidualNetwork, spectra

WIDTH, HIDDEN = 48, 32
_STEPS_AN_OCTAVE, _LOWEST = 20.0, -1.0
_BATCH, _RATE, _DECAY = 16, 2e-3, 0.05
_DROPPED, _BLURRED = 0.1, 0.15
_WINDOW = 20

Coded = NDArray[np.uint8]


def coded(blocks: NDArray[np.uint8]) -> Coded:
    """The spectra of blocks (N, 9, 128, 128) in twentieths of an octave, uint8 (N, n, n, C)."""
    made = np.empty((len(blocks), PLACES, PLACES, CHANNELS), np.uint8)
    for row, block in enumerate(blocks):
        made[row] = np.clip((spectra(block.astype(np.float32)) - _LOWEST) * _STEPS_AN_OCTAVE + 0.5, 0, 255)
    return made


def decoded(rows: Coded) -> NDArray[np.float32]:
    """The inverse of the rounding in :func:`coded`, float32."""
    return rows.astype(np.float32) / np.float32(_STEPS_AN_OCTAVE) + np.float32(_LOWEST)


class Trainee(nn.Module):
    """The layers of :class:`ResidualNetwork` as torch has them, on spectra (B, n, n, C) of any n."""

    def __init__(self, mean: NDArray[np.float32], scale: NDArray[np.float32]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("scale", torch.from_numpy(scale))
        self.enter, self.mix = nn.Linear(CHANNELS, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.bend, self.back = (nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(2))
        self.hide, self.out = nn.Linear(2 * WIDTH, HIDDEN), nn.Linear(HIDDEN, 1)
        nn.init.zeros_(self.back.weight)
        nn.init.zeros_(self.out.weight)

    def forward(self, seen: Tensor, spoil: bool = False) -> Tensor:
        """Log-odds (B,); ``spoil`` blurs and drops numbers, the same in both films of a pair."""
        x = (seen - self.get_buffer("mean")) * self.get_buffer("scale")
        if spoil:
            x = _spoiled(x)
        x = functional.relu(self.mix(functional.relu(self.enter(x))))
        even = x.shape[1] // 2 * 2
        x = x[:, :even, :even].permute(0, 3, 1, 2)
        near = functional.avg_pool2d(x, 2)
        near = functional.relu(near + self.back(functional.relu(self.bend(near))))
        flat = near.flatten(2)
        read = torch.cat([flat.mean(2), flat.std(2, unbiased=False)], 1)
        if spoil:
            read = functional.dropout(read, 0.2)
        told: Tensor = self.out(functional.relu(self.hide(read)))[:, 0]
        return told


def _spoiled(x: Tensor) -> Tensor:
    """Pairs stand one after the other: real, synthetic, real, synthetic."""
    half = (len(x) // 2, 1, 1, CHANNELS)
    kept = (torch.rand(half) > _DROPPED).float()
    shift = torch.randn(half) * _BLURRED
    return (x + shift.repeat_interleave(2, 0)) * kept.repeat_interleave(2, 0)


def fit_network(rows: Coded, synthetic: NDArray[np.int_], *, epochs: int, seed: int) -> ResidualNetwork:
    """The network of pairs whose real film stands right before the synthetic one.

    Raises:
        ValueError: the rows are no such pairs.
    """
    if len(rows) % 2 or not np.array_equal(synthetic, np.arange(len(rows)) % 2):
        raise ValueError("rows must be pairs: a real film, then the synthetic one")
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    sample = decoded(rows[rng.permutation(len(rows))[:200]]).reshape(-1, CHANNELS)
    trainee = Trainee(sample.mean(0), 1.0 / (sample.std(0) + 0.05))
    optimiser = torch.optim.AdamW(trainee.parameters(), lr=_RATE, weight_decay=_DECAY, betas=(0.9, 0.98))
    pairs = len(rows) // 2
    steps = epochs * max(1, pairs // _BATCH)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=_RATE, total_steps=steps + 1, pct_start=0.15)
    order: list[int] = []
    for _ in range(steps):
        if len(order) < _BATCH:
            order = list(rng.permutation(pairs))
        drawn, order = np.array(order[:_BATCH]), order[_BATCH:]
        picked = rows[np.stack([2 * drawn, 2 * drawn + 1], 1).ravel()]
        scores = trainee(torch.from_numpy(decoded(_part(_turned(picked, rng), rng))), True)
        real, made = scores[0::2], scores[1::2]
        apart = functional.softplus(real).mean() + functional.softplus(-made).mean()
        loss = 0.5 * apart + functional.softplus(real - made).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trainee.parameters(), 1.0)
        optimiser.step()
        plan.step()
    return exported(trainee)


def _turned(picked: Coded, rng: np.random.Generator) -> Coded:
    """The batch as it is, or with rows and columns exchanged, in place and in frequency."""
    if rng.random() < 0.5:
        return picked
    four = picked.transpose(0, 2, 1, 3).reshape(len(picked), PLACES, PLACES, 4, 8, 8)
    return np.ascontiguousarray(four.transpose(0, 1, 2, 3, 5, 4)).reshape(picked.shape)


def _part(picked: Coded, rng: np.random.Generator) -> Coded:
    """A window of the places, three times in four: half the work, and no place can be learned by heart."""
    if rng.random() < 0.25:
        return picked
    top, left = (int(2 * rng.integers((PLACES - _WINDOW) // 2 + 1)) for _ in range(2))
    return picked[:, top : top + _WINDOW, left : left + _WINDOW]


def exported(trainee: Trainee) -> ResidualNetwork:
    """The same layers as plain arrays, rounded as the file will have them."""

    def array(x: Tensor) -> NDArray[np.float32]:
        return np.ascontiguousarray(x.detach().numpy().astype(np.float16).astype(np.float32))

    def convolution(weights: Tensor) -> NDArray[np.float32]:
        return array(weights.permute(2, 3, 1, 0).reshape(9 * WIDTH, WIDTH))

    layers = {name: getattr(trainee, name) for name in ("enter", "mix", "bend", "back", "hide", "out")}
    return ResidualNetwork(
        mean=array(trainee.get_buffer("mean")),
        scale=array(trainee.get_buffer("scale")),
        enter=array(trainee.enter.weight.T),
        mix=array(trainee.mix.weight.T),
        bend=convolution(trainee.bend.weight),
        back=convolution(trainee.back.weight),
        hide=array(trainee.hide.weight.T),
        out=array(trainee.out.weight[0]),
        **{f"{name}_bias": array(layer.bias) for name, layer in layers.items()},
    )


def scores_of(network: ResidualNetwork, rows: Coded) -> NDArray[np.float64]:
    """The network's score of each row, (N,)."""
    return np.array([network.judge(decoded(row)) for row in rows])


__all__ = ["Coded", "coded", "exported", "fit_network", "scores_of"]
