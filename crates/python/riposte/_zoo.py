"""Models and presets that come along."""

from __future__ import annotations

import json
from typing import Any, Optional

from . import _riposte


def models() -> list[dict[str, Any]]:
    """List the models that come along.

    Returns
    -------
    list of dict
        Their cards: ``id``, which `riposte.load` takes, ``dataset``, ``architecture``, ``epsilon`` in pixel units, how each was trained, and
        what was measured.
    """
    return [json.loads(card) for card in _riposte.models()]


def presets(dataset: Optional[str] = None) -> dict[str, str]:
    """List the presets: the setups of the paper and light forms of them, which ``preset`` takes everywhere.

    Parameters
    ----------
    dataset : {"digits", "mnist", "cifar10"}, optional
        Those that suit it alone.

    Returns
    -------
    dict of str
        What each of them is, in a line, by its name.

    Examples
    --------
    >>> import riposte
    >>> list(riposte.presets("digits"))
    ['f-mnist', 'm-mnist', 'light-mnist', 'instant-mnist']
    """
    known = _riposte.presets()
    datasets = {name for _, suits, _ in known for name in suits}
    if dataset is not None and dataset not in datasets:
        raise ValueError(f"there is no dataset {dataset!r}: {', '.join(sorted(datasets))}")
    return {name: about for name, suits, about in known if dataset is None or dataset in suits}
