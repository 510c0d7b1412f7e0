"""Writes the types of the settings, as the library tells them: python tests/python/settings.py > crates/python/riposte/_settings.py"""

from riposte import _riposte

HEAD = '''"""The settings, as types. Written by `tests/python/settings.py` from the table in `crates/spec/src/keys/table.rs`."""

from __future__ import annotations

import os
from typing import Literal, Sequence, TypedDict, Union

Pixels = Union[float, str]
"""A length in pixel units, 0 to 1, or a fraction such as "8/255"."""
'''

TITLES = {"attack": "Settings of an attack.", "riposte": "Settings of a defense.", "counter": "Settings of an attack on a defense."}

TAIL = '''

class RunSettings(AttackSettings, RiposteSettings, CounterSettings, total=False):
    """Settings of a duel or an evaluation."""

    dataset: Literal["digits", "mnist", "cifar10"]
    data: Union[str, "os.PathLike[str]"]
    weights: Union[str, "os.PathLike[str]"]
    architecture: str
    width: int
    state: str
    mean: Sequence[float]
    std: Sequence[float]
    batch_norm_epsilon: float
    post_samples: int
    bank: Union[str, "os.PathLike[str]"]
    bank_copy: Literal["drawn", "mean"]
    device: str
    threads: int


class DuelSettings(RunSettings, total=False):
    """Settings of a duel."""

    image: Union[str, "os.PathLike[str]"]
    label: int
    ground: Literal["light", "dark"]


class EvaluateSettings(RunSettings, total=False):
    """Settings of an evaluation."""

    counter_bank: Union[str, "os.PathLike[str]"]
    export: Union[str, "os.PathLike[str]"]
    images_from: Union[str, "os.PathLike[str]"]
    pixels: Literal["unit", "levels"]
    expect_accuracy: float
    batch: int'''


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
    return "\n".join(parts) + TAIL


if __name__ == "__main__":
    print(text())
