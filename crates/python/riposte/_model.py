"""Models: asking them, attacking them, defending them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Callable, Mapping, Optional, Union, overload

from . import _riposte
from ._arrays import ArrayLike, floats, images_of, labels_of, numpy_of
from ._bar import Progress, bar_of
from ._found import AttackDetails, Neighbors
from ._words import check_counts, check_loaded, pairs, warn

if TYPE_CHECKING:
    from typing import Literal

    from typing_extensions import Unpack

    from ._arrays import FloatArray, IntArray
    from ._defense import Defense
    from ._settings import AttackSettings, RiposteSettings


class Model:
    """An image classifier on a device. `riposte.load` makes one.

    Several threads may use one at the same time, and it pickles, for `multiprocessing` with the start method ``spawn``.

    Attributes
    ----------
    name : str
        The id of a model that comes along, or the name of its file.
    architecture : str
        What its weights belong to.
    dataset : str
        What it was trained on, or takes.
    classes : list of str
        The names of its classes.
    shape : tuple of int
        Of an image: channels, height, width.
    device : str
        Where it computes, as ``device`` of `riposte.load` takes it.
    card : dict or None
        What is known of it: how it was trained, what was measured.
    sha256 : str
        Of its weights file, hexadecimal.
    """

    def __init__(self, loaded: _riposte.Model) -> None:
        self._loaded = loaded

    @property
    def name(self) -> str:
        """The id of a model that comes along, or the name of its file."""
        return self._loaded.name

    @property
    def architecture(self) -> str:
        """What its weights belong to."""
        return self._loaded.architecture

    @property
    def dataset(self) -> str:
        """What it was trained on, or takes."""
        return self._loaded.dataset

    @property
    def classes(self) -> list[str]:
        """The names of its classes."""
        return self._loaded.classes

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image: channels, height, width."""
        channels, height, width = self._loaded.shape
        return channels, height, width

    @property
    def device(self) -> str:
        """Where it computes."""
        return self._loaded.device[0]

    @property
    def card(self) -> Optional[dict[str, Any]]:
        """What is known of it: how it was trained, what was measured."""
        card = self._loaded.card
        return None if card is None else json.loads(card)

    @property
    def sha256(self) -> str:
        """Of its weights file, hexadecimal."""
        return self._loaded.sha256

    def __repr__(self) -> str:
        of = "a copy of " if self._loaded.adapted else ""
        return f"<riposte.Model {of}{self.name}: {self._loaded.computation}, on {self._loaded.device[1]}>"

    def __reduce__(self) -> tuple[Callable[..., Model], tuple[str, bytes]]:
        return _unpickled, self._loaded.pickled()

    def __call__(self, images: ArrayLike, *, progress: Progress = False) -> FloatArray:
        """Compute logits.

        Parameters
        ----------
        images : array
            ``[image, channel, height, width]`` or one image without the first, float32 from 0 to 1.
        progress : bool or function, default: False
            True shows a bar of tqdm; a function is called with the steps so far and in all.

        Returns
        -------
        array of float32
            ``[image, class]``, or ``[class]`` for one image.
        """
        data, count, single = images_of(images, self.shape)
        with bar_of(progress, "Classifying") as bar:
            logits = self._loaded.logits(data, bar)
        return _rows(floats(logits, count, len(self.classes)), single)

    def predict(self, images: ArrayLike, *, progress: Progress = False) -> IntArray:
        """Compute the most likely class of each image.

        Parameters
        ----------
        images, progress
            As of calling the model.

        Returns
        -------
        array of int64
            ``[image]``, or a number for one image.
        """
        classes: IntArray = self(images, progress=progress).argmax(axis=-1)
        return classes

    def input_gradient(
        self,
        images: ArrayLike,
        labels: Any,
        loss: Literal["cross-entropy", "margin", "dlr"] = "cross-entropy",
        *,
        targeted: bool = False,
        progress: Progress = False,
    ) -> FloatArray:
        """Compute the gradient of a loss with respect to the images: the direction that an attack follows.

        Parameters
        ----------
        images : array
            ``[image, channel, height, width]`` or one image without the first, float32 from 0 to 1.
        labels : array of int
            The class of each image, ``[image]``, or a number for one image.
        loss : {"cross-entropy", "margin", "dlr"}, default: "cross-entropy"
            ``margin`` is the largest other logit minus that of the class; ``dlr`` the difference of logits ratio of Croce & Hein (2020).
        targeted : bool, default: False
            Whether ``labels`` are targets: then it is the gradient of minus the loss.
        progress : bool or function, default: False
            True shows a bar of tqdm; a function is called with the steps so far and in all.

        Returns
        -------
        array of float32
            Of each image's own loss, not of their mean; of the shape of ``images``.
        """
        data, count, single = images_of(images, self.shape)
        classes = labels_of(labels, count)
        with bar_of(progress, "Differentiating") as bar:
            gradient = self._loaded.input_gradient(data, classes, targeted, loss, bar)
        return _rows(floats(gradient, count, *self.shape), single)

    def vjp(self, images: ArrayLike, vectors: ArrayLike, *, progress: Progress = False) -> FloatArray:
        """Compute products of vectors and the Jacobians of the logits: what a backward pass of another library asks for.

        Parameters
        ----------
        images : array
            ``[image, channel, height, width]`` or one image without the first, float32 from 0 to 1.
        vectors : array
            Gradients with respect to the logits, ``[image, class]``, or ``[class]`` for one image.
        progress : bool or function, default: False
            True shows a bar of tqdm; a function is called with the steps so far and in all.

        Returns
        -------
        array of float32
            Gradients with respect to the images, of their shape.
        """
        data, count, single = images_of(images, self.shape)
        rows = numpy_of(vectors).astype("float32")
        if rows.shape != (count, len(self.classes)) and not (single and rows.shape == (len(self.classes),)):
            raise ValueError(f"{count} images need as many vectors of {len(self.classes)} numbers, and these have the shape {rows.shape}")
        with bar_of(progress, "Differentiating") as bar:
            products = self._loaded.vjp(data, rows.tobytes(), bar)
        return _rows(floats(products, count, *self.shape), single)

    @overload
    def attack(
        self,
        images: ArrayLike,
        labels: Any,
        *,
        preset: Optional[str] = None,
        seed: int = 0,
        first: int = 0,
        batch: Optional[int] = None,
        details: Literal[False] = False,
        progress: Progress = False,
        **settings: Unpack[AttackSettings],
    ) -> FloatArray: ...

    @overload
    def attack(
        self,
        images: ArrayLike,
        labels: Any,
        *,
        preset: Optional[str] = None,
        seed: int = 0,
        first: int = 0,
        batch: Optional[int] = None,
        details: Literal[True],
        progress: Progress = False,
        **settings: Unpack[AttackSettings],
    ) -> tuple[FloatArray, AttackDetails]: ...

    def attack(
        self,
        images: ArrayLike,
        labels: Any,
        *,
        preset: Optional[str] = None,
        seed: int = 0,
        first: int = 0,
        batch: Optional[int] = None,
        details: bool = False,
        progress: Progress = False,
        **settings: Unpack[AttackSettings],
    ) -> Union[FloatArray, tuple[FloatArray, AttackDetails]]:
        """Attack images: perturb them so that the model errs.

        Parameters
        ----------
        images : array
            ``[image, channel, height, width]`` or one image without the first, float32 from 0 to 1.
        labels : array of int
            The class of each image, ``[image]``, or a number for one image.
        preset : str, optional
            The setup of the paper whose attack this is, where nothing else is said; the one recommended for the model's dataset without it.
        seed : int, default: 0
            Of every draw.
        first : int, default: 0
            Number of the first image, on which its draws depend: an image has the draws that ``riposte eval`` gives the test image of its number.
        batch : int, optional
            Images attacked at once; 128 on a CPU and 512 on a GPU without it.
        details : bool, default: False
            Whether to return what else is known.
        progress : bool or function, default: False
            True shows a bar of tqdm; a function is called with the steps so far and in all (0 where that is not known).
        **settings
            Of the attack; see below.

        Returns
        -------
        attacked : array of float32
            Of the shape of ``images``, from 0 to 1. An image that no attack of an ensemble has fooled is at the point of its largest margin.
        details : AttackDetails
            If asked for.
        """
        data, count, single = images_of(images, self.shape)
        classes = labels_of(labels, count)
        check_counts(seed=seed, first=first, batch=batch)
        setup = self._loaded.setup(preset, "attack", pairs(settings))
        warn(setup.warnings)
        with bar_of(progress, "Attacking") as bar:
            pixels, logits, fates = self._loaded.attack(setup, data, classes, seed, first, batch, bar)
        attacked = _rows(floats(pixels, count, *self.shape), single)
        if not details:
            return attacked
        fates = fates or [(None, [])] * count
        rows = _rows(floats(logits, count, len(self.classes)), single)
        return attacked, AttackDetails(rows, [by for by, _ in fates], [doubts for _, doubts in fates])

    def neighbors(
        self,
        images: ArrayLike,
        *,
        preset: Optional[str] = None,
        seed: int = 0,
        first: int = 0,
        progress: Progress = False,
        **settings: Unpack[RiposteSettings],
    ) -> Neighbors:
        """Search the neighbor class of each image: the first half of what a defense does.

        Parameters
        ----------
        images : array
            ``[image, channel, height, width]`` or one image without the first, float32 from 0 to 1.
        preset : str, optional
            The setup of the paper whose search this is, where nothing else is said.
        seed, first : int, default: 0
            Of every draw, and number of the first image, on which its draws depend.
        progress : bool or function, default: False
            True shows a bar of tqdm; a function is called with the steps so far and in all.
        **settings
            Of the search, whose names begin with ``search``; see below.

        Returns
        -------
        Neighbors
        """
        import numpy as np

        data, count, single = images_of(images, self.shape)
        check_counts(seed=seed, first=first)
        setup = self._loaded.setup(preset, "riposte", pairs(settings))
        warn(setup.warnings)
        with bar_of(progress, "Searching") as bar:
            original, neighbor, pixels, logits, there = self._loaded.neighbors(setup, data, seed, first, bar)
        return Neighbors(
            original=original[0] if single else np.array(original, dtype=np.int64),
            neighbor=neighbor[0] if single else np.array(neighbor, dtype=np.int64),
            images=_rows(floats(pixels, count, *self.shape), single),
            logits=_rows(floats(logits, count, len(self.classes)), single),
            neighbor_logits=_rows(floats(there, count, len(self.classes)), single),
        )

    def riposte(
        self,
        preset: Optional[str] = None,
        *,
        dataset: Optional[str] = None,
        data: Union[str, "os.PathLike[str]", tuple[ArrayLike, ArrayLike], None] = None,
        post_samples: Optional[int] = None,
        bank: Union[str, "os.PathLike[str]", None] = None,
        bank_copy: Literal["drawn", "mean"] = "drawn",
        **settings: Unpack[RiposteSettings],
    ) -> Defense:
        """Make the defense of this model: it adapts a copy of itself to each image before it answers.

        Parameters
        ----------
        preset : str, optional
            The setup of the paper, as in ``"f-mnist"``; the one recommended for the model's dataset without it.
        dataset : str, optional
            Whose training images the copies adapt on: ``"digits"``, ``"mnist"`` or ``"cifar10"``; those of the model without it.
        data : path, or (images, labels), optional
            The folder with the official files; the variable ``RIPOSTE_DATA``, the cache folder or a download without it. Or training images of
            one's own: gray levels ``uint8``, ``[image, channel, height, width]``, with the label of each.
        post_samples : int, optional
            Draw from the first so many training images alone.
        bank : path, optional
            Answer with the copies that ``riposte bank`` made in this folder: their settings take the place of the preset's.
        bank_copy : {"drawn", "mean"}, default: "drawn"
            Which copy of a pair of classes answers.
        **settings
            Of the defense; see below.

        Returns
        -------
        Defense

        Raises
        ------
        FileNotFoundError, ValueError
            If the training images are not there and cannot be had, or the bank belongs to another model.
        """
        from ._defense import Defense, training_samples

        if bank is None and bank_copy != "drawn":
            raise ValueError(f"`bank_copy` {bank_copy!r} belongs to a `bank`")
        if post_samples is not None and post_samples < 1:
            raise ValueError(f"`post_samples` is at least 1, not {post_samples}")
        setup = self._loaded.setup(preset, "riposte", pairs(settings))
        warn(setup.warnings)
        if isinstance(data, tuple):
            others = {"dataset": dataset, "post_samples": post_samples, "bank": bank}
            given = [name for name, value in others.items() if value is not None]
            if given:
                raise ValueError(f"`{given[0]}` contradicts `data`, which gives the training images themselves")
            samples, labels = training_samples(data, self.shape)
            return Defense(self, self._loaded.riposte_on(setup, samples, labels), setup)
        if data is None and os.environ.get("RIPOSTE_DATA"):
            data = os.environ["RIPOSTE_DATA"]
        made, notes = self._loaded.riposte(setup, dataset, data, post_samples, bank, bank_copy)
        warn(notes)
        return Defense(self, made, setup)


def loaded_of(model: Union[Model, str, None], settings: Mapping[str, Any]) -> Optional[_riposte.Model]:
    """What computes, of a model that a duel or an evaluation is given; None where its words name one."""
    if not isinstance(model, (Model, str, type(None))):
        raise TypeError(f"a model is what `riposte.load` gives, or the id of one, and this is of type {type(model).__name__}")
    if not isinstance(model, Model):
        return None
    check_loaded(settings)
    return model._loaded


def _rows(array: FloatArray, single: bool) -> FloatArray:
    return array[0] if single else array


def _unpickled(origin: str, weights: bytes) -> Model:
    return Model(_riposte.unpickle(origin, weights))
