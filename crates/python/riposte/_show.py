"""What a notebook shows."""

from __future__ import annotations

import os
from typing import Any, Mapping, Optional, Sequence, Union

from . import _element, _still
from ._arrays import ArrayLike
from ._defense import Answer
from ._duel import Duel
from ._still import Picture


def show(
    what: Union[Duel, Answer, Mapping[str, Any], ArrayLike, None] = None,
    *,
    dataset: Optional[str] = None,
    height: Optional[int] = None,
    captions: Optional[Sequence[Any]] = None,
    page: Union[str, "os.PathLike[str]", None] = None,
    **attributes: Any,
) -> Picture:
    """Show the page's experiment in a notebook, or images and an answer as still pictures.

    The experiment runs in the reader's browser, on its own files: without a network, in an exported notebook too, which each output makes
    larger by some 7 MB. Where a viewer lets nothing run, a still picture stands in its place.

    Parameters
    ----------
    what : Duel, dict, Answer or array, optional
        A duel, or the record of one (``Duel.record``, a record that the page saved, ``widget.record``): the experiment at this very run.
        With ``dataset``, one image ``[channel, height, width]`` from 0 to 1: the experiment on it, in 256 gray levels. Nothing: the experiment
        as it opens. Without ``dataset``, images ``[image, channel, height, width]`` or one of them are shown side by side, and an answer as where
        its search ended and how the logits of the two classes raced.
    dataset : str, optional
        Whose classifier the experiment begins with: ``"digits"``.
    height : int, optional
        In pixels of the screen: of the experiment, 900 without it; of a still image, 140.
    captions : sequence, optional
        What stands below each of the images.
    page : path, optional
        Another file of the element than the one that comes along, which has drawn digits: ``cargo xtask element --dataset digits,mnist --file FILE``
        makes it.
    **attributes
        Any attribute of the element, with underscores: settings by their names (``epsilon=0.2``), ``image="test:7"``, ``acts="12"``,
        ``controls="run"``, ``run=2`` (acts to run at once), ``theme="dark"``.

    Returns
    -------
    Picture
        What a notebook shows when it is the value of a cell; ``html`` is its text.

    Raises
    ------
    ValueError
        If the shape is not that of images, or the element lacks the data set. A duel over such a data set is shown as its report.
    """
    is_run = isinstance(what, (Duel, Mapping))
    if not is_run and dataset is None and (what is not None or captions is not None):
        if attributes or page is not None:
            raise TypeError(f"still pictures have no {', '.join([*attributes, *(['page'] if page is not None else [])])}: name a `dataset` for the experiment")
        if isinstance(what, Answer):
            return Picture(_still.of_answer(what, height or 140))
        return Picture(_still.of_images(what, captions, height or 140))
    if captions is not None or isinstance(what, Answer):
        raise TypeError("the experiment is shown of one image, a duel or a record, without captions")
    return Picture(_framed(what, dataset, height or 900, page, attributes))


def _framed(what: Any, dataset: Optional[str], height: int, page: Any, attributes: Mapping[str, Any]) -> str:
    """The experiment in a frame, or a still picture of a run that the element has no images of."""
    record = what.record if isinstance(what, Duel) else what if isinstance(what, Mapping) else None
    if record is not None and not (record.get("link") and record.get("dataset") in _element.datasets(page)):
        if isinstance(what, Duel):
            return what._repr_html_().replace("height: 36rem", f"height: {height}px")
        return _still.of_record(dict(record), 140)
    begins = {**_element.attributes_of(what, dataset, page), **attributes}
    _element.check(begins["dataset"], page)
    still = still_of(what, record)
    return _element.frame(_element.document(begins, still, page), still, height)


def still_of(what: Any, record: Optional[Mapping[str, Any]]) -> str:
    """What is shown where nothing can run."""
    if record is not None:
        return _still.of_record(dict(record), 140)
    if what is not None:
        return _still.of_images(what, None, 140)
    return "<p>The experiment runs in a browser: this viewer shows none.</p>"
