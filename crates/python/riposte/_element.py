"""The page's element, in a frame that carries its files."""

from __future__ import annotations

import base64
import html
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Optional, Union
from urllib.parse import unquote

from ._arrays import images_of
from ._duel import Duel
from ._words import text

if TYPE_CHECKING:
    from ._arrays import ArrayLike

    Page = Union[str, "os.PathLike[str]", None]

_CARRIED = Path(__file__).with_name("element.html")
_SHAPES = {"digits": (1, 28, 28), "mnist": (1, 28, 28), "cifar10": (3, 32, 32)}


def _read(page: Page) -> tuple[str, str, frozenset[str]]:
    """The element's page before and after the element, and the data sets that it has."""
    path = Path(page or _CARRIED)
    try:
        return _parts(path, path.stat().st_mtime_ns)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"there is no file `{path}`, which the element comes in: the wheel has it, and in a checkout `cargo xtask element` makes it"
        ) from error


@lru_cache(maxsize=2)
def _parts(path: Path, changed: int) -> tuple[str, str, frozenset[str]]:
    """The same of a file as it was at a time: it has millions of letters, and a notebook shows it often."""
    whole = path.read_text(encoding="utf-8")
    named = re.search(r'<meta name="riposte-datasets" content="([^"]*)">', whole)
    parts = re.fullmatch(r"(.*)<riposte-arena from-address>.*?</riposte-arena>(.*)", whole, re.DOTALL)
    if not named or not parts:
        raise ValueError(f"`{path}` is no element: `cargo xtask element` makes one")
    return parts[1], parts[2], frozenset(named[1].split())


def datasets(page: Page) -> frozenset[str]:
    """The data sets that the element has images and models of."""
    return _read(page)[2]


def attributes_of(what: Union[None, Duel, Mapping[str, Any], ArrayLike], dataset: Optional[str], page: Page) -> dict[str, str]:
    """What the element begins with, as its attributes."""
    record = what.record if isinstance(what, Duel) else what
    if isinstance(record, Mapping):
        return _keys_of(record)
    attributes = {"dataset": dataset or sorted(datasets(page), key=lambda name: (name != "digits", name))[0]}
    if record is not None:
        attributes["image"] = _pixels(record, attributes["dataset"])
    return attributes


def check(dataset: str, page: Page) -> None:
    """Raises an error where the element lacks a data set."""
    there = datasets(page)
    if dataset not in there:
        raise ValueError(
            f"the element has {', '.join(sorted(there))}, not {dataset!r}: `cargo xtask element --dataset {dataset} --file FILE` makes one with it, "
            "which `page=FILE` takes"
        )


def document(attributes: Mapping[str, Any], still: str, page: Page) -> str:
    """The frame's page: the element, and what is shown in its place where it cannot run."""
    before, after, _ = _read(page)
    given = {"hash": "off", **{name.replace("_", "-"): text(value) for name, value in attributes.items() if value is not None}}
    words = "".join(f' {name}="{html.escape(value)}"' for name, value in given.items())
    return f"{before}<riposte-arena{words}>{still}</riposte-arena>{after}"


def frame(page: str, still: str, height: int) -> str:
    """A page in a frame, above a still picture, which is what is left where a viewer takes frames out."""
    return (
        f'<div style="position: relative; min-height: {height}px">{still}'
        f'<iframe title="Riposte" srcdoc="{html.escape(page)}" allow="clipboard-write" loading="lazy" '
        'style="position: absolute; inset: 0; width: 100%; height: 100%; border: 0; background: Canvas"></iframe></div>'
    )


def _keys_of(record: Mapping[str, Any]) -> dict[str, str]:
    """What the link in a record says."""
    link = record.get("link")
    fragment = str(link).partition("#")[2] if link else ""
    # The element that wrote it may have had a name of its own, which stands before each key.
    own = next((pair.partition("dataset=")[0] for pair in fragment.split("&") if "dataset=" in pair), None)
    if own is None:
        raise ValueError("the record has no link that the element could follow: it is of weights of one's own, of another image than a test image, or no record of a duel")
    pairs = (pair[len(own) :].partition("=") for pair in fragment.split("&") if pair.startswith(own))
    return {name: unquote(value) for name, _, value in pairs if name and "." not in name}


def _pixels(image: ArrayLike, dataset: str) -> str:
    """An image as the element takes it: gray levels, channel by channel."""
    import numpy as np

    data, count, _ = images_of(image, _SHAPES[dataset])
    if count != 1:
        raise ValueError(f"the element takes one image, not {count}; without `dataset` many are shown side by side")
    levels = np.round(np.clip(np.frombuffer(data, dtype=np.float32), 0, 1) * 255).astype(np.uint8)
    return "px:" + base64.urlsafe_b64encode(levels.tobytes()).decode().rstrip("=")
