"""The settings, as types. Written by `tests/python/settings.py` from the table in `crates/spec/src/keys/table.rs`."""

from __future__ import annotations

from typing import Literal, TypedDict, Union

Pixels = Union[float, str]
"""A length in pixel units, 0 to 1, or a fraction such as "8/255"."""


class AttackSettings(TypedDict, total=False):
    """Settings of an attack."""

    attack: Literal["none", "pgd", "fgsm", "apgd", "apgd-t", "fab-t", "square", "auto", "cw", "deepfool"]
    norm: Literal["l2", "l-infinity"]
    epsilon: Pixels
    step_size: Pixels
    steps: int
    start: Literal["zero", "uniform"]
    stop: Literal["never", "at-success"]
    restarts: int
    loss: Literal["cross-entropy", "margin", "dlr"]
    target: int
    quantize: Literal["none", "8"]
    targets: int
    queries: int
    window_share: float
    schedule: Literal["absolute", "relative"]
    colors: Literal["random", "changing"]
    candidates: int
    rounds: int
    constant: float
    confidence: float
    attack_learning_rate: float


class RiposteSettings(TypedDict, total=False):
    """Settings of a defense."""

    riposte: Literal["none", "fixed", "fast", "pgd", "normal"]
    direction: Literal["positive", "negative", "both"]
    search: Literal["untargeted", "targeted"]
    search_epsilon: Pixels
    search_step_size: Pixels
    search_steps: int
    search_start: Literal["zero", "uniform"]
    search_stop: Literal["never", "at-success"]
    search_restarts: int
    search_loss: Literal["cross-entropy", "margin", "dlr"]
    post_iterations: int
    post_batch_size: int
    post_learning_rate: float
    post_momentum: float
    post_nesterov: bool
    post_epsilon: Pixels
    post_step_size: Pixels
    post_steps: int
    post_data: Literal["original-and-neighbor", "original-and-random", "whole-set"]
    post_augmentation: str
    post_batch_norm: Literal["frozen", "batch-statistics"]
    post_parameters: Literal["all", "last-stage", "head", "normalization"]
    post_draws: Literal["redrawn", "kept"]
    post_exit: Literal["never", "settled", "ahead"]
    post_precision: Literal["single", "mixed"]


class CounterSettings(TypedDict, total=False):
    """Settings of an attack on a defense."""

    counter: Literal["none", "attack", "transfer", "suppression", "decoy", "trajectory", "bank", "gmsa-average", "gmsa-minimum", "fixed-point", "square", "rays", "all"]
    counter_steps: int
    counter_rounds: int
    counter_adaptations: int
    counter_queries: int
    counter_finalists: int
    counter_judges: int
