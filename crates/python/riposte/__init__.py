"""Attack an image classifier, let it adapt to that one input, and see what it answers.

The same core as the command `riposte` and as the page. A model is attacked, and answers an attacked image after it has adapted to it:

>>> import riposte
>>> model = riposte.load("digits-robust")
>>> images, labels = riposte.dataset("digits", images=10)
>>> attacked = model.attack(images, labels, epsilon=0.3)
>>> defense = model.riposte(preset="f-mnist", post_samples=1000)
>>> (model.predict(attacked) == labels).sum(), (defense.predict(attacked) == labels).sum()  # doctest: +SKIP

Images are ``float32`` from 0 to 1, ``[image, channel, height, width]``, or one image ``[channel, height, width]``: NumPy arrays, PyTorch tensors,
and whatever else speaks the array protocol or DLPack. A model normalizes its images itself, so that lengths such as ``epsilon`` are in pixel
units, as a number or as in ``"8/255"``.

Settings are keyword arguments under the names of the command line's flags, with underscores; what is not given is as in the preset.
The same seed draws the same numbers here, on the command line and on the page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._data import dataset
from ._defense import Answer, Defense
from ._document import document as _document
from ._duel import Duel, duel
from ._evaluate import evaluate
from ._found import AttackDetails, Neighbors
from ._load import load
from ._model import Model
from ._riposte import devices, version as _version
from ._show import show
from ._still import Picture
from ._widget import widget
from ._zoo import models, presets

if TYPE_CHECKING:
    from ._settings import AttackSettings, CounterSettings, RiposteSettings

__version__ = _version()

_document(Model.attack, "attack")
_document(Model.neighbors, "riposte")
_document(Model.riposte, "riposte")
_document(duel, "attack", "riposte", "counter")
_document(evaluate, "attack", "riposte", "counter")

__all__ = [
    "Answer",
    "AttackDetails",
    "Defense",
    "Duel",
    "Model",
    "Neighbors",
    "Picture",
    "dataset",
    "devices",
    "duel",
    "evaluate",
    "load",
    "models",
    "presets",
    "show",
    "widget",
]
