"""Keyword arguments as flags of the command line."""

from __future__ import annotations

import os
import warnings
from typing import Any, Iterable, Mapping, Optional

from ._settings import RiposteSettings


SWITCHES = {name for name, of in RiposteSettings.__annotations__.items() if "bool" in str(of)}
"""Settings that are on or off."""


def pairs(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values of settings, in the words of the command line; None is as if it were not given."""
    return [(name.replace("_", "-"), text(value)) for name, value in settings.items() if value is not None]


def flags(arguments: Mapping[str, Any]) -> list[str]:
    """The same as flags. Where it is no setting's value, True is a flag without one, and False is none."""
    words = []
    for name, value in arguments.items():
        flag = "--" + name.replace("_", "-")
        if name in SWITCHES and value is not None:
            words.append(f"{flag}={text(value)}")
        elif value is True:
            words.append(flag)
        elif value is not None and value is not False:
            words.append(f"{flag}={text(value)}")
    return words


def check_loaded(settings: Mapping[str, Any]) -> None:
    """Refuses what says how a model is read, beside one that is loaded."""
    of_loading = ("weights", "architecture", "width", "state", "mean", "std", "batch_norm_epsilon", "device", "threads")
    for name in of_loading:
        if settings.get(name) is not None:
            raise ValueError(f"`{name}` belongs to a model that is yet to be loaded: give it to `riposte.load`, or no loaded model here")


def check_counts(**counts: Optional[int]) -> None:
    """Refuses numbers below 0."""
    for name, count in counts.items():
        if count is not None and count < 0:
            raise ValueError(f"`{name}` is at least 0, not {count}")


def text(value: Any) -> str:
    """A value as it is typed."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (str, os.PathLike)):
        return os.fspath(value)
    if isinstance(value, (list, tuple)):
        return ",".join(text(part) for part in value)
    return repr(value.item()) if hasattr(value, "item") else repr(value)


def warn(notes: Iterable[str]) -> None:
    """Warns the caller's caller of each."""
    for note in notes:
        warnings.warn(note, stacklevel=3)
