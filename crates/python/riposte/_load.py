"""Loading models."""

from __future__ import annotations

import json
import os
from typing import Optional, Sequence, Union

from . import _riposte
from ._model import Model
from ._words import flags, warn


def load(
    model: Union[str, "os.PathLike[str]", None] = None,
    *,
    architecture: Optional[str] = None,
    width: Optional[int] = None,
    state: Optional[str] = None,
    mean: Optional[Sequence[float]] = None,
    std: Optional[Sequence[float]] = None,
    batch_norm_epsilon: Optional[float] = None,
    device: str = "auto",
    threads: Optional[int] = None,
) -> Model:
    """Load a model that comes along, or weights from a file.

    Parameters
    ----------
    model : str or path, optional
        The id of a model that comes along (`riposte.models` lists them), or a file of weights: ``.safetensors``, ``.pth``, ``.pt``. Without it, a
        model of drawn digits.
    architecture : str, optional
        What the file's weights belong to, as in ``"preact-resnet18"``. Without it, what its card says, or the one architecture that they fit.
    width : int, optional
        Width of the first stage of a ``preact-resnet``.
    state : str, optional
        Which of several state dicts in the file; ``"ema"`` is any moving average.
    mean, std : sequence of float, optional
        By which the network's images are normalized, one number for each channel, in pixel units.
    batch_norm_epsilon : float, optional
        Added to the variances of batch normalizations; 1e-5 without it.
    device : str, default: "auto"
        Where it computes: ``"auto"``, ``"cpu"``, ``"wgpu"``, ``"vulkan"``, ``"metal"`` or ``"cuda"``, with a number for one of several
        GPUs. ``"auto"`` takes a GPU if there is one.
    threads : int, optional
        Threads on the CPU; all cores without it.

    Returns
    -------
    Model

    Raises
    ------
    FileNotFoundError
        If there is neither a model nor a file of this name.
    ValueError
        If the file is not what it should be, or leaves a choice open, which the sentence names.

    Warns
    -----
    UserWarning
        What was concluded about a file that has no card.

    Examples
    --------
    >>> import riposte
    >>> riposte.load("digits-robust", device="cpu")  # doctest: +ELLIPSIS
    <riposte.Model digits-robust: ...>
    """
    ids = [json.loads(card)["id"] for card in _riposte.models()]
    words = {} if model is None else {"model" if str(model) in ids else "weights": model}
    if "weights" in words and not os.path.exists(os.fspath(words["weights"])):
        raise FileNotFoundError(f"there is no file `{model}`, and no model of this name comes along: {', '.join(ids)}")
    arguments = {
        "architecture": architecture,
        "width": width,
        "state": state,
        "mean": mean if mean is None else list(mean),
        "std": std if std is None else list(std),
        "batch_norm_epsilon": batch_norm_epsilon,
        "device": device,
        "threads": threads,
    }
    loaded, notes = _riposte.load(flags({**words, **arguments}))
    warn(notes)
    return Model(loaded)
