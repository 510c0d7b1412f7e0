"""Evaluations, as the command line's."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Mapping, Optional, Union

from . import _riposte
from ._bar import Progress, bar_of
from ._model import Model, loaded_of
from ._words import check_counts, flags

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._runs import EvaluateSettings


def evaluate(
    model: Union[Model, str, None] = None,
    *,
    images: Optional[int] = None,
    first: Optional[int] = None,
    preset: Optional[str] = None,
    out: Union[str, "os.PathLike[str]", None] = None,
    seed: int = 0,
    natural: bool = True,
    progress: Progress = False,
    **settings: Unpack[EvaluateSettings],
) -> dict[str, Any]:
    """Evaluate a model and its defense over a range of test images, as ``riposte eval`` does.

    Parameters
    ----------
    model : Model or str, optional
        A loaded model, which computes where it is, or the id of one that comes along.
    images : int, optional
        How many test images; 100 without it.
    first : int, optional
        Number of the first one.
    preset : str, optional
        A setup of the paper, which sets everything that nothing else is said of.
    out : path, optional
        Where to write a line for each image. If the file is there with the same settings, the run goes on where it ends. It is a results file
        of the command line: either goes on with those of the other.
    seed : int, default: 0
        Of every draw.
    natural : bool, default: True
        Whether the natural images are defended, too.
    progress : bool or function, default: False
        True shows a bar of tqdm; a function is called with the images so far and in all.
    **settings
        Any other flag of ``riposte eval``, with underscores, as in ``riposte="none"``, ``post_samples=1000``, ``export="attacked.npz"``; and
        those below.

    Returns
    -------
    dict
        What ``riposte eval --json`` prints: counts, accuracies with 95 % intervals, settings, times.

    Raises
    ------
    ValueError
        For settings out of range or that contradict each other, and for a file of another run.
    KeyboardInterrupt
        After Ctrl-C. The file has whatever was finished, and the same call goes on.
    """
    arguments: Mapping[str, Any] = {
        "images": images,
        "first": first,
        "preset": preset,
        "out": out,
        "seed": seed,
        "natural": "on" if natural else "off",
        "model": model if isinstance(model, str) else None,
        **settings,
    }
    check_counts(seed=seed, first=first, images=images)
    loaded = loaded_of(model, settings)
    with bar_of(progress, "Evaluating") as bar:
        report: dict[str, Any] = json.loads(_riposte.evaluate(loaded, flags(arguments), bar))
    return report
