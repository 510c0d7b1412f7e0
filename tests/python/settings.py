"""Writes the types of the settings, as the library tells them: python tests/python/settings.py > crates/python/riposte/_settings.py"""

from riposte import _riposte

HEAD = '''"""The settings, as types. Written by `tests/python/settings.py` from the table in `crates/spec/src/keys/table.rs`."""

from __future__ import annotations

from typing import Literal, TypedDict, Union

Pixels = Union[float, str]
"""A length in pixel units, 0 to 1, or a fraction such as "8/255"."""
'''

TITLES = {"attack": "Settings of an attack.", "riposte": "Settings of a defense.", "counter": "Settings of an attack on a defense."}


def type_of(name, kind, words):
    if words == ["on", "off"]:
        return "bool"
    if kind == "word" and words and name != "post-augmentation":
        return f"Literal[{', '.join(repr(word) for word in words)}]".replace("'", '"')
    return {"pixels": "Pixels", "number": "float", "count": "int", "class": "int", "word": "str"}[kind]


def text():
    parts = [HEAD]
    for about, title in TITLES.items():
        rows = [f'class {about.capitalize()}Settings(TypedDict, total=False):\n    """{title}"""\n']
        rows += [f"    {name.replace('-', '_')}: {type_of(name, kind, words)}" for of, name, _, kind, words in _riposte.settings() if of == about]
        parts.append("\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(text())
