"""Many small decoders by recipe: networks that enlarge a film of a half or a quarter of its size, each
trained within seconds.

A detector that saw few networks learns those few. So each family here is a way to build and train a
network (how it doubles, what it is rewarded for, what its targets look like, how spoiled its inputs
are), and each member of a family another draw of width, depth and seed. None of them is anybody's
published model.

Legend: B patches, T frames, S side in pixels, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from guarded_sora.training.detector_camera import Photo
from guarded_sora.training.detector_decoders import Decoder, Film

_BATCH, _PATCH = 8, 64
_REDUCE = (cv2.INTER_AREA, cv2.INTER_AREA, cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LINEAR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one network is built and trained.

    ``up`` is shuffle, transposed, nearest or bilinear; ``loss`` l1, l2, edges or adversarial; ``target``
    plain, sharp (unsharp-masked), drawn (flat between edges, sharp at them) or crisp (the same, more so and
    finer). ``spoil`` 0 to 1: blur, noise and JPEG on the inputs. ``factor`` 2 or 4: how much it enlarges.
    ``judged``: weight of what the judge says beside the error of the pixels.
    """

    family: str
    up: str
    loss: str
    target: str = "plain"
    spoil: float = 0.0
    width: int = 24
    depth: int = 4
    factor: int = 2
    judged: float = 0.01
    seed: int = 0


_WAYS: dict[str, tuple[dict[str, object], ...]] = {
    "up-shuffle": (
        {"up": "shuffle", "loss": "l1"},
        {"up": "shuffle", "loss": "edges", "spoil": 0.3},
        {"up": "shuffle", "loss": "l2"},
    ),
    "up-transposed": (
        {"up": "transposed", "loss": "l2", "spoil": 0.3},
        {"up": "transposed", "loss": "l1"},
        {"up": "transposed", "loss": "edges", "spoil": 0.6},
    ),
    "up-resize": (
        {"up": "nearest", "loss": "l1"},
        {"up": "bilinear", "loss": "edges"},
        {"up": "nearest", "loss": "edges", "spoil": 0.3},
    ),
    "up-sharp": (
        {"up": "shuffle", "loss": "adversarial", "target": "sharp", "spoil": 0.5},
        {"up": "nearest", "loss": "adversarial", "target": "sharp", "spoil": 0.8},
        {"up": "transposed", "loss": "edges", "target": "sharp"},
    ),
    "up-drawn": (
        {"up": "shuffle", "loss": "l1", "target": "drawn", "spoil": 0.5},
        {"up": "transposed", "loss": "adversarial", "target": "drawn", "spoil": 0.2},
        {"up": "shuffle", "loss": "edges", "target": "drawn"},
    ),
    "up-clean": (
        {"up": "shuffle", "loss": "l1", "spoil": 1.0},
        {"up": "transposed", "loss": "l1", "spoil": 0.6},
        {"up": "bilinear", "loss": "adversarial", "spoil": 0.6},
    ),
    "up-crisp": (
        {"up": "nearest", "loss": "adversarial", "target": "crisp", "spoil": 0.6, "judged": 0.03},
        {"up": "shuffle", "loss": "adversarial", "target": "crisp", "spoil": 0.3, "judged": 0.03},
        {"up": "transposed", "loss": "edges", "target": "crisp", "spoil": 0.5},
    ),
    "up-four": (
        {
            "up": "nearest",
            "loss": "adversarial",
            "target": "sharp",
            "spoil": 0.3,
            "factor": 4,
            "judged": 0.03,
        },
        {"up": "shuffle", "loss": "adversarial", "spoil": 0.3, "factor": 4, "judged": 0.03},
        {"up": "shuffle", "loss": "edges", "target": "crisp", "spoil": 0.5, "factor": 4},
    ),
}
FAMILIES = tuple(_WAYS)
"""Ways to make a network."""


def recipes(family: str, *, seed: int = 0) -> tuple[Recipe, ...]:
    """The members of a family, with width and depth drawn from ``seed``."""
    members = []
    for number, way in enumerate(_WAYS[family]):
        rng = np.random.default_rng([seed, FAMILIES.index(family), number])
        drawn = {"width": int(rng.choice([16, 20, 24, 28])), "depth": int(rng.integers(3, 6))}
        members.append(Recipe(family=family, seed=int(rng.integers(1 << 30)), **way, **drawn))  # type: ignore[arg-type]
    return tuple(members)


class Network(nn.Module):
    """RGB float (B, 3, S, S) in [0, 1] to (B, 3, F S, F S), F the factor of the recipe."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        width = recipe.width
        # Added to what the layers make: without it an up-sampler takes minutes to get as far.
        self.base = "bicubic" if recipe.seed % 3 else "bilinear"
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), _bend(recipe)]
        for _ in range(recipe.depth):
            layers += [nn.Conv2d(width, width, 3, padding=1), _bend(recipe)]
        self.body = nn.Sequential(*layers, *_enlarging(recipe.up, width, recipe.factor))
        self.factor = recipe.factor

    def forward(self, x: Tensor) -> Tensor:
        """Not clipped: training needs what lies beyond."""
        made: Tensor = self.body(x)
        return made + functional.interpolate(x, scale_factor=self.factor, mode=self.base, align_corners=False)


def _bend(recipe: Recipe) -> nn.Module:
    return nn.PReLU(recipe.width) if recipe.seed % 2 else nn.LeakyReLU(0.1)


def _enlarging(up: str, width: int, factor: int) -> list[nn.Module]:
    if up == "shuffle":
        return [nn.Conv2d(width, 3 * factor**2, 3, padding=1), nn.PixelShuffle(factor)]
    if up == "transposed":
        return [nn.ConvTranspose2d(width, 3, 2 * factor, factor, factor // 2)]
    layers: list[nn.Module] = []
    for _ in range(factor // 4):  # twice by two, with a layer between
        layers += [nn.Upsample(scale_factor=2, mode=up), nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
    return [*layers, nn.Upsample(scale_factor=2, mode=up), nn.Conv2d(width, 3, 3, padding=1)]


def train(recipe: Recipe, photos: Sequence[Photo], *, steps: int) -> Network:
    """A network by this recipe after so many steps on patches of ``photos``."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    network = Network(recipe)
    judge = nn.Sequential(
        nn.Conv2d(3, 16, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(16, 32, 4, 2, 1), nn.LeakyReLU(0.2),
        nn.Conv2d(32, 1, 3, padding=1),
    )  # fmt: skip
    adversarial = recipe.loss == "adversarial"
    rate = 3e-3
    optimiser = torch.optim.Adam(network.parameters(), lr=rate, betas=(0.9, 0.98))
    judging = torch.optim.Adam(judge.parameters(), lr=1e-3, betas=(0.5, 0.98))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate * min(1.0, step / 20 + 0.05) * (1.02 - step / steps)
        given, wanted = _batch(recipe, photos, rng)
        made = network(given)
        loss = _loss(recipe.loss, made, wanted)
        if adversarial and step > steps // 3:
            loss = loss - recipe.judged * judge(made).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        if adversarial and step % 2 and step > steps // 4:
            hinge = (
                functional.relu(1 - judge(wanted)).mean() + functional.relu(1 + judge(made.detach())).mean()
            )
            judging.zero_grad()
            hinge.backward()  # type: ignore[no-untyped-call]
            judging.step()
    return network.eval()


def _loss(kind: str, made: Tensor, wanted: Tensor) -> Tensor:
    error = made - wanted
    if kind == "l2":
        return 10 * error.square().mean()
    loss = error.abs().mean()
    if kind != "l1":
        loss = loss + error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return loss


def _batch(recipe: Recipe, photos: Sequence[Photo], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    given, wanted = [], []
    for _ in range(_BATCH):
        plain = patch(photos, rng)
        wanted.append(_target(recipe.target, plain))
        how = int(rng.choice(_REDUCE))
        size = (_PATCH // recipe.factor, _PATCH // recipe.factor)
        small = np.asarray(cv2.resize(plain, size, interpolation=how), np.uint8)
        given.append(_spoiled(small, recipe.spoil, rng))
    return _tensor(np.stack(given)), _tensor(np.stack(wanted))


def patch(photos: Sequence[Photo], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A piece of one of the photographs at a drawn scale, uint8 (64, 64, 3)."""
    photo = photos[int(rng.integers(len(photos)))]
    least = 1.1 * _PATCH / min(photo.shape[:2])
    scale = float(np.exp(rng.uniform(np.log(max(least, 0.12)), np.log(max(least, 0.75)))))
    reach = int(np.ceil(_PATCH / scale))
    top = int(rng.integers(photo.shape[0] - reach + 1))
    left = int(rng.integers(photo.shape[1] - reach + 1))
    part = photo[top : top + reach, left : left + reach]
    return np.asarray(cv2.resize(part, (_PATCH, _PATCH), interpolation=cv2.INTER_AREA), np.uint8)


def _target(kind: str, plain: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if kind == "plain":
        return plain
    reach = {"sharp": 0, "drawn": 30, "crisp": 15}[kind]
    ground = np.asarray(cv2.bilateralFilter(plain, 5, reach, 2.0) if reach else plain, np.float32)
    gain, wide = (1.5, 0.8) if kind == "crisp" else (0.9, 1.2)
    sharp = ground + gain * (ground - cv2.GaussianBlur(ground, (0, 0), wide))
    return np.clip(sharp + 0.5, 0, 255).astype(np.uint8)


def _spoiled(small: NDArray[np.uint8], spoil: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    blur, noise = rng.uniform(0, 0.8 * spoil + 1e-9), rng.uniform(0, 10 * spoil + 1e-9)
    if blur > 0.2:
        small = np.asarray(cv2.GaussianBlur(small, (0, 0), blur), np.uint8)
    if noise > 0.5:
        small = np.clip(small + rng.normal(0, noise, small.shape), 0, 255).astype(np.uint8)
    if rng.random() < spoil / 2:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))]
        small = np.asarray(cv2.imdecode(cv2.imencode(".jpg", small, quality)[1], cv2.IMREAD_COLOR), np.uint8)
    return small


def _tensor(pictures: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).float() / 255.0


def made_by(recipe: Recipe, photos: Sequence[Photo], path: Path, *, steps: int) -> Decoder:
    """The decoder of ``recipe``: read from ``path`` if it was trained before, else trained and kept."""
    if path.is_file():
        network = Network(recipe).eval()
        network.load_state_dict(load_file(path))
    else:
        network = train(recipe, photos, steps=steps)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)

    def apply(seen: Film, rng: np.random.Generator) -> Film:
        how = int(rng.choice(_REDUCE))
        less = (seen.shape[2] // recipe.factor, seen.shape[1] // recipe.factor)
        given = np.stack([cv2.resize(frame, less, interpolation=how) for frame in seen])
        with torch.no_grad():
            made = network(_tensor(given)).clamp(0, 1)
        shown = (made * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        return np.ascontiguousarray(shown.numpy())

    return Decoder(family=recipe.family, apply=apply)


__all__ = ["FAMILIES", "Network", "Recipe", "made_by", "patch", "recipes", "train"]
