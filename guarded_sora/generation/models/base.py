"""diffusers' base classes under names that carry types.

diffusers ships no type information that a strict checker accepts; what this package uses of it is
declared here once, so that the models and the pipeline read plainly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self, TypeVar

    import torch
    from torch import nn

    _F = TypeVar("_F", bound=Callable[..., Any])

    class ModelMixin(nn.Module):
        """A network that diffusers saves and loads."""

        config: Any
        device: torch.device
        dtype: torch.dtype

        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
        @classmethod
        def from_pretrained(cls, folder: Any, **options: Any) -> Self: ...
        @classmethod
        def from_config(cls, config: Any) -> Self: ...
        def save_pretrained(self, folder: Any, **options: Any) -> None: ...

    class Pipeline:
        """A diffusers pipeline."""

        components: dict[str, Any]
        _execution_device: torch.device

        def __init__(self) -> None: ...
        @classmethod
        def from_pretrained(cls, folder: Any, **options: Any) -> Self: ...
        def save_pretrained(self, folder: Any, **options: Any) -> None: ...
        def register_modules(self, **modules: Any) -> None: ...
        def set_progress_bar_config(self, **options: Any) -> None: ...
        def maybe_free_model_hooks(self) -> None: ...
        def to(self, *args: Any, **kwargs: Any) -> Self: ...

    class Output(dict[str, Any]):
        """What a pipeline returns: its fields by name, by key and in order."""

    def keep_config(init: _F) -> _F: ...

    def euler_scheduler(*, shift: float) -> Any: ...

else:
    import diffusers
    from diffusers import ConfigMixin, DiffusionPipeline, FlowMatchEulerDiscreteScheduler
    from diffusers.configuration_utils import register_to_config as keep_config
    from diffusers.utils import BaseOutput as Output

    class ModelMixin(diffusers.ModelMixin, ConfigMixin):
        """A network that diffusers saves and loads.

        A pipeline finds a component's loader by this name in the component's own module.
        """

    Pipeline = DiffusionPipeline

    def euler_scheduler(*, shift: float) -> FlowMatchEulerDiscreteScheduler:
        """diffusers' Euler scheduler of rectified flow with a time shift."""
        return FlowMatchEulerDiscreteScheduler(shift=shift)


def split(x: Tensor, axis: int, sizes: tuple[int, ...]) -> Tensor:
    """``x.unflatten``, which torch leaves untyped."""
    parts: Tensor = x.unflatten(axis, sizes)  # type: ignore[no-untyped-call]
    return parts


__all__ = ["ModelMixin", "Output", "Pipeline", "euler_scheduler", "keep_config", "split"]
