"""What a duel and an evaluation take beside the settings of attack and defense, as types."""

from __future__ import annotations

import os
from typing import Literal, Sequence, Union

from ._settings import AttackSettings, CounterSettings, RiposteSettings


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
    replay: Union[str, "os.PathLike[str]"]


class EvaluateSettings(RunSettings, total=False):
    """Settings of an evaluation."""

    defense: str
    counter_bank: Union[str, "os.PathLike[str]"]
    export: Union[str, "os.PathLike[str]"]
    images_from: Union[str, "os.PathLike[str]"]
    pixels: Literal["unit", "levels"]
    expect_accuracy: float
    batch: int
