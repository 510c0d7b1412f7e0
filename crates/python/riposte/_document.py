"""The settings in the docstrings of what takes them."""

from __future__ import annotations

from typing import Any

from . import _riposte


def document(function: Any, *about: str) -> None:
    """Adds the settings about something to a docstring in NumPy's style."""
    rows = []
    for of, name, meaning, kind, words in _riposte.settings():
        if of in about:
            values = {
                "pixels": "float or str, in pixel units",
                "count": "int",
                "class": "int",
                "number": "float",
            }.get(kind) or (f"{{{', '.join(map(repr, words))}}}" if words else "str")
            rows.append(f"{name.replace('-', '_')} : {values}\n    {meaning}.")
    listed = "\n".join(rows).replace("\n", "\n        ")
    function.__doc__ = f"{function.__doc__.rstrip()}\n\n        Other Parameters\n        ----------------\n        {listed}\n        "
