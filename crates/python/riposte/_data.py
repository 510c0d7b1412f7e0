"""Images of the datasets that the project knows."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Optional, Union

from . import _riposte
from ._words import check_counts, warn

if TYPE_CHECKING:
    from typing import Literal

    from ._arrays import FloatArray, IntArray


def dataset(
    name: Literal["digits", "mnist", "cifar10"],
    split: Literal["train", "test"] = "test",
    *,
    first: int = 0,
    images: Optional[int] = None,
    data: Union[str, "os.PathLike[str]", None] = None,
) -> tuple[FloatArray, IntArray]:
    """Get images with their labels.

    Parameters
    ----------
    name : {"digits", "mnist", "cifar10"}
        Digits are drawn by the program, and need no files and no network.
    split : {"train", "test"}, default: "test"
        Which of its images.
    first : int, default: 0
        Number of the first image.
    images : int, optional
        How many; all without it.
    data : path, optional
        The folder with the official files. Without it the variable ``RIPOSTE_DATA`` names one, or they are taken from the cache folder or
        downloaded.

    Returns
    -------
    images : array of float32
        ``[image, channel, height, width]`` from 0 to 1.
    labels : array of int64
        ``[image]``
    """
    import numpy as np

    check_counts(first=first)
    if images is not None and images < 1:
        raise ValueError(f"`images` is at least 1, not {images}")
    folder = data if data is not None else os.environ.get("RIPOSTE_DATA") or None
    pixels, size, labels, notes = _riposte.dataset(name, split, first, images, folder)
    warn(notes)
    levels = np.frombuffer(pixels, dtype=np.uint8).reshape(-1, *size)
    return levels.astype(np.float32) / np.float32(255), np.frombuffer(labels, dtype=np.uint8).astype(np.int64)
