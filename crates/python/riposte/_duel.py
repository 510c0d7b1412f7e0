"""One image attacked and defended, told from begin to end."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional, Union

from . import _riposte
from ._model import Model, loaded_of
from ._words import check_counts, flags

if TYPE_CHECKING:
    from typing import Literal

    from typing_extensions import Unpack

    from ._runs import DuelSettings


@dataclass(frozen=True)
class Duel:
    """A duel that was fought. In a notebook it shows its report, which needs neither scripts nor a network.

    Attributes
    ----------
    verdict : str
        How it ended, in a sentence.
    record : dict
        What ``riposte duel --json --images`` prints: settings, classes, probabilities, the race of the logits, pixels. The page and
        ``riposte duel --replay`` take it, as JSON.
    report : str
        In HTML, a page of its own.
    """

    verdict: str
    record: dict[str, Any] = field(repr=False)
    report: str = field(repr=False)

    def _repr_html_(self) -> str:
        return (
            f'<iframe title="{html.escape(self.verdict)}" srcdoc="{html.escape(self.report)}" sandbox '
            'style="width: 100%; height: 36rem; border: 0"></iframe>'
        )


def duel(
    model: Union[Model, str, None] = None,
    *,
    index: Optional[int] = None,
    pick: Optional[Literal["fooled", "answered", "failed"]] = None,
    preset: Optional[str] = None,
    seed: Optional[int] = None,
    **settings: Unpack[DuelSettings],
) -> Duel:
    """Attack a test image, answer it, and tell what happened, as ``riposte duel`` does.

    Parameters
    ----------
    model : Model or str, optional
        A loaded model, which computes where it is, or the id of one that comes along.
    index : int, optional
        Number of the test image. Without it, the one that the model's card opens with, or one that is looked for.
    pick : {"fooled", "answered", "failed"}, optional
        Which image to look for: the first that the attack fools, or the first of these that the defense answers rightly, or wrongly.
    preset : str, optional
        A setup of the paper, which sets everything that nothing else is said of.
    seed : int, optional
        Of every draw; 0 without it, or that of the record with ``replay``.
    **settings
        Any other flag of ``riposte duel``, with underscores, as in ``counter="gmsa-minimum"``, ``post_samples=1000``, ``replay="duel.json"``; and
        those below.

    Returns
    -------
    Duel

    Raises
    ------
    ValueError
        For settings out of range or that contradict each other, and for an attack other than PGD.
    """
    arguments: dict[str, Any] = {
        "index": index,
        "pick": pick,
        "preset": preset,
        "seed": seed,
        "model": model if isinstance(model, str) else None,
        **settings,
    }
    check_counts(seed=seed, index=index)
    if "out" in settings:
        raise ValueError("`out` is of the command: write `Duel.report` where it is wanted")
    loaded = loaded_of(model, settings)
    record, report = _riposte.duel(loaded, flags(arguments))
    facts: dict[str, Any] = json.loads(record)
    return Duel(verdict=facts["verdict"], record=facts, report=report)
