"""What attacks and searches have found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional, Union

if TYPE_CHECKING:
    from ._arrays import FloatArray, IntArray


@dataclass(frozen=True)
class AttackDetails:
    """What is known of an attack beside its images.

    Attributes
    ----------
    logits : array of float32
        Of the model on the attacked images, ``[image, class]``.
    fooled_by : list of (str or None)
        Which attack of an ensemble fooled the model; None where none did, and after PGD.
    doubts : list of list of str
        What makes the verdict on an image doubtful; nothing after PGD.
    """

    logits: FloatArray
    fooled_by: list[Optional[str]]
    doubts: list[list[str]]


@dataclass(frozen=True)
class Neighbors:
    """What neighbor searches have found. For one image without a dimension for their number, what follows has none, either.

    Attributes
    ----------
    original : array of int64, or int
        y', the class that the model gives each image, ``[image]``.
    neighbor : array of int64, or int
        y'', the class that it gives x''; equal to y' where there is no neighbor, ``[image]``.
    images : array of float32
        x'', where each search ended, ``[image, channel, height, width]`` from 0 to 1.
    logits, neighbor_logits : array of float32
        Of the model on the images and on x'', ``[image, class]``.
    """

    original: Union[IntArray, int]
    neighbor: Union[IntArray, int]
    images: FloatArray
    logits: FloatArray
    neighbor_logits: FloatArray
