"""Third-party checks and backends: found by entry point, loaded only when settings name them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import Any

from guarded_sora.errors import UsageError


def load_plugins(group: str, names: Iterable[str]) -> list[Any]:
    """The objects that entry points ``guarded_sora.<group>`` of these ``names`` make.

    An entry point names a callable without arguments. A name nobody offers stops the program: a
    safety check that silently does not load is worse than none.

    Raises:
        UsageError: no installed package offers the name, or it does not load.
    """
    wanted = list(names)
    if not wanted:
        return []
    offered = {point.name: point for point in entry_points(group=f"guarded_sora.{group}")}
    made = []
    for name in wanted:
        if name not in offered:
            known = ", ".join(sorted(offered)) or "none"
            raise UsageError(f"No installed package offers {group} {name!r}; installed: {known}.")
        try:
            made.append(offered[name].load()())
        except Exception as error:
            raise UsageError(
                f"The {group} plug-in {name!r} did not load ({type(error).__name__}); "
                "reinstall its package or take it out of the settings."
            ) from error
    return made
