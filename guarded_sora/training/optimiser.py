"""Muon for matrices, Adam for the rest: fewer steps for the same loss than Adam alone.

Muon (Jordan et al. 2024) replaces a matrix's momentum by its nearest semi-orthogonal matrix, found
with a quintic Newton-Schulz iteration. Convolution kernels count as (out, in * k * k) matrices.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """Nearest semi-orthogonal matrix, roughly: singular values end between about 0.7 and 1.2."""
    x = matrix.bfloat16()
    wide = x.shape[0] <= x.shape[1]
    x = x if wide else x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    nearest: Tensor = (x if wide else x.T).to(matrix.dtype)
    return nearest


class MuonAdam(torch.optim.Optimizer):
    """``matrices`` step by Muon at ``lr``; every other parameter by Adam at ``lr`` * ``adam_ratio``."""

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        *,
        lr: float = 0.02,
        adam_ratio: float = 0.1,
        momentum: float = 0.95,
        decay: float = 0.01,
    ) -> None:
        groups: list[dict[str, Any]] = [
            {"params": list(matrices), "muon": True},
            {"params": list(others), "muon": False},
        ]
        super().__init__(groups, {"lr": lr, "adam_ratio": adam_ratio, "momentum": momentum, "decay": decay})

    @classmethod
    def of(cls, *modules: nn.Module, lr: float, adam: tuple[str, ...] = (), **options: float) -> MuonAdam:
        """Split the modules' parameters: matrices by Muon unless their name contains one of ``adam``."""
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for module in modules:
            for name, parameter in module.named_parameters():
                flat = parameter.ndim >= 2 and min(parameter.shape[0], parameter[0].numel()) > 1
                (matrices if flat and not any(a in name for a in adam) else others).append(parameter)
        return cls(matrices, others, lr=lr, **options)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    (self._muon if group["muon"] else self._adam)(parameter, group)

    def _muon(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        state["momentum"].lerp_(gradient, 1 - group["momentum"])
        update = gradient.lerp(state["momentum"], group["momentum"])
        flat = orthogonalise(update.flatten(1))
        scale = max(1.0, flat.shape[0] / flat.shape[1]) ** 0.5
        parameter.mul_(1 - group["lr"] * group["decay"])
        parameter.add_(flat.view_as(parameter), alpha=-group["lr"] * scale)

    def _adam(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state.update(step=0, first=torch.zeros_like(gradient), second=torch.zeros_like(gradient))
        state["step"] += 1
        state["first"].lerp_(gradient, 0.1)
        state["second"].lerp_(gradient.square(), 0.01)
        first = state["first"] / (1 - 0.9 ** state["step"])
        second = state["second"] / (1 - 0.99 ** state["step"])
        parameter.addcdiv_(first, second.sqrt().add_(1e-8), value=-group["lr"] * group["adam_ratio"])
