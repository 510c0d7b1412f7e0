"""Models that come along."""

from __future__ import annotations

import json
from typing import Any

from . import _riposte


def models() -> list[dict[str, Any]]:
    """List the models that come along, the smallest first.

    Returns
    -------
    list of dict
        Their cards: ``id``, which `riposte.load` takes, ``dataset``, ``architecture``, ``epsilon`` in pixel units, how each was trained, and
        what was measured.
    """
    return [json.loads(card) for card in _riposte.models()]
