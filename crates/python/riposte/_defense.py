"""Defenses and their answers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

from . import _riposte
from ._arrays import ArrayLike, floats, images_of, numpy_of, softmax
from ._bar import Progress, bar_of
from ._model import Model
from ._words import check_counts

if TYPE_CHECKING:
    from ._arrays import FloatArray, IntArray


@dataclass(frozen=True)
class Answer:
    """The answer of a defense to one image, with everything that was seen on the way.

    Attributes
    ----------
    logits, probabilities : array of float32
        ``[class]``
    prediction : int
        The class that it answers.
    original : int
        y', the class that the model gives the image.
    neighbor : int
        y'', the neighbor class; equal to y' where there is none: then the model answers as it is.
    riposted : bool
        Whether a copy has adapted: where there is a neighbor, unless ``post_exit="ahead"`` and y' is ahead of it.
    base_logits : array of float32
        Of the model as it is, ``[class]``.
    neighbor_image : array of float32
        x'', where the search ended, ``[channel, height, width]``.
    race : array of float32
        Logits on the image before the adaptation and after each step, ``[step, class]``; no steps without a neighbor.
    losses : array of float32
        Mean loss of each batch before its step, ``[step]``.
    samples : list of int
        Numbers of the training images in the first batch: half of the original class, half of the other.
    adapted : Model or None
        The copy that answers, which can be attacked like any model; None where the model answers as it is.
    seconds : float
        What it took.
    record : dict
        The same in the words of ``riposte duel --json``.
    """

    logits: FloatArray = field(repr=False)
    probabilities: FloatArray = field(repr=False)
    prediction: int
    original: int
    neighbor: int
    riposted: bool
    base_logits: FloatArray = field(repr=False)
    neighbor_image: FloatArray = field(repr=False)
    race: FloatArray = field(repr=False)
    losses: FloatArray = field(repr=False)
    samples: list[int] = field(repr=False)
    adapted: Optional[Model] = field(repr=False)
    seconds: float
    record: dict[str, Any] = field(repr=False)


class Defense:
    """A model that adapts a copy of itself to each image before it answers. `Model.riposte` makes one.

    Attributes
    ----------
    model : Model
        The base model, which is never changed.
    settings : dict
        How it searches and adapts, as results files have it.
    """

    def __init__(self, model: Model, made: _riposte.Defense, setup: _riposte.Setup) -> None:
        self.model = model
        self._made = made
        self._setup = setup

    @property
    def settings(self) -> dict[str, Any]:
        """How it searches and adapts, as results files have it."""
        settings: dict[str, Any] = json.loads(self._made.settings)
        return settings

    def __repr__(self) -> str:
        return f"<riposte.Defense of {self.model!r}>"

    def __call__(self, images: ArrayLike, *, seed: int = 0, first: int = 0, progress: Progress = False) -> FloatArray:
        """Answer images, each by a copy that has adapted to it.

        Parameters
        ----------
        images : array
            ``[image, channel, height, width]`` or one image without the first, float32 from 0 to 1.
        seed : int, default: 0
            Of every draw: the training images, and the random start of a search.
        first : int, default: 0
            Number of the first image, on which its draws depend.
        progress : bool or function, default: False
            True shows a bar of tqdm; a function is called with the images so far and in all.

        Returns
        -------
        array of float32
            Logits ``[image, class]``, or ``[class]`` for one image.
        """
        data, count, single = images_of(images, self.model.shape)
        check_counts(seed=seed, first=first)
        with bar_of(progress, "Answering") as bar:
            logits = self._made.logits(data, seed, first, bar)
        rows = floats(logits, count, len(self.model.classes))
        return rows[0] if single else rows

    def predict(self, images: ArrayLike, *, seed: int = 0, first: int = 0, progress: Progress = False) -> IntArray:
        """Answer images with the most likely class of each.

        Parameters
        ----------
        images, seed, first, progress
            As of calling the defense.

        Returns
        -------
        array of int64
            ``[image]``, or a number for one image.
        """
        classes: IntArray = self(images, seed=seed, first=first, progress=progress).argmax(axis=-1)
        return classes

    def answer(
        self,
        image: ArrayLike,
        *,
        label: Optional[int] = None,
        seed: int = 0,
        first: int = 0,
        progress: Progress = False,
    ) -> Answer:
        """Answer one image and keep everything that was seen on the way.

        Parameters
        ----------
        image : array
            ``[channel, height, width]``, or the same with one image in front; float32 from 0 to 1.
        label : int, optional
            What the image shows, for the record.
        seed, first : int, default: 0
            Of every draw, and number of the image, on which its draws depend.
        progress : bool or function, default: False
            True shows a bar of tqdm; a function is called with the steps so far and in all.

        Returns
        -------
        Answer
        """
        data, count, _ = images_of(image, self.model.shape)
        if count != 1:
            raise ValueError(f"`answer` takes one image, not {count}; calling the defense answers many")
        check_counts(seed=seed, first=first)
        classes = len(self.model.classes)
        if label is not None and not 0 <= label < classes:
            raise ValueError(f"`label` is the number of a class, from 0 to {classes - 1}, not {label}")
        with bar_of(progress, "Adapting") as bar:
            answered = self._made.answer(data, seed, first, bar)
        logits = floats(answered.logits, classes)
        return Answer(
            logits=logits,
            probabilities=softmax(logits),
            prediction=int(logits.argmax()),
            original=answered.original,
            neighbor=answered.neighbor,
            riposted=answered.adapted is not None,
            base_logits=floats(answered.base_logits, classes),
            neighbor_image=floats(answered.neighbor_image, *self.model.shape),
            race=floats(answered.race, -1, classes),
            losses=floats(answered.losses, -1),
            samples=answered.samples,
            adapted=None if answered.adapted is None else Model(answered.adapted),
            seconds=answered.seconds,
            record=json.loads(self._made.record(answered, self._setup, seed, label)),
        )


def training_samples(data: tuple[ArrayLike, ArrayLike], shape: tuple[int, int, int]) -> tuple[bytes, list[int]]:
    """The bytes of training images, and their labels."""
    images, labels = (numpy_of(part) for part in data)
    if str(images.dtype) != "uint8" or images.shape[1:] != shape:
        raise TypeError(
            f"training images are gray levels from 0 to 255, uint8 of the shape (images, {', '.join(map(str, shape))}), and these are "
            f"{images.dtype} of {images.shape}"
        )
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise TypeError(f"{len(images)} training images need as many labels, whole numbers, and these are {labels.dtype} of {labels.shape}")
    if len(labels) and int(labels.min()) < 0:
        raise ValueError("labels are the numbers of classes, from 0 on")
    return images.tobytes(), [int(label) for label in labels]
