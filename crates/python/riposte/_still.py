"""Still pictures: HTML without scripts, which an exported notebook keeps."""

from __future__ import annotations

import base64
import html
import struct
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional, Sequence

from ._arrays import numpy_of
from ._defense import Answer

if TYPE_CHECKING:
    from ._arrays import FloatArray


@dataclass(frozen=True)
class Picture:
    """What a notebook shows.

    Attributes
    ----------
    html : str
        All of it: nothing is fetched.
    """

    html: str = field(repr=False)

    def _repr_html_(self) -> str:
        return self.html


def of_images(images: Any, captions: Optional[Sequence[Any]], height: int) -> str:
    """Images side by side, `[image, channel, height, width]` or one without the first, from 0 to 1."""
    images = numpy_of(images)
    if images.ndim == 3:
        images = images[None]
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images have the shape (images, 1 or 3, height, width), and these have {images.shape}")
    if images.dtype.kind != "f" or not (images >= 0).all() or not (images <= 1).all():
        raise ValueError(f"images are numbers from 0 to 1, and these are {images.dtype} up to {images.max()}")
    below = list(captions) if captions is not None else [""] * len(images)
    if len(below) != len(images):
        raise ValueError(f"{len(images)} images need as many captions, not {len(below)}")
    return _row([_figure(image, str(caption), height) for image, caption in zip(images, below)])


def of_answer(answer: Answer, height: int) -> str:
    """Where the search of an answer ended, and how the logits raced."""
    there = _figure(answer.neighbor_image, "no neighbor" if answer.neighbor == answer.original else f"y'' = {answer.neighbor}", height)
    return _row([there, _race(answer, height)] if answer.riposted else [there])


def of_record(record: dict[str, Any], height: int) -> str:
    """The images of a record, with what was said of each, and how it ended."""
    import numpy as np

    classes = record.get("classes") or []

    def said(opinion: str) -> str:
        """What the record has of it, in words."""
        found = record.get(opinion)
        number = found.get("class") if isinstance(found, dict) else found
        return str(classes[number]) if isinstance(number, int) and number < len(classes) else "?"

    words = {"natural": f"untouched: {said('natural')}", "attacked": f"attacked: {said('attacked')}", "neighbor": f"neighbor: {said('neighbor')}"}
    figures = []
    for name, caption in words.items():
        pixels = (record.get("images") or {}).get(name)
        if pixels:
            image = np.asarray(pixels["values"], dtype=np.float32).reshape(pixels["shape"])
            figures.append(_figure(image, caption, height))
    verdict = record.get("verdict") or (f"the answer is {said('answer')}" if record.get("answer") else f"attacked: {said('attacked')}")
    return f"{_row(figures)}<p>{html.escape(str(verdict))}</p>"


def _row(figures: Sequence[str]) -> str:
    return f'<div style="display: flex; flex-wrap: wrap; gap: 0.5rem">{"".join(figures)}</div>'


def _figure(image: FloatArray, caption: str, height: int) -> str:
    data = base64.b64encode(_png(image)).decode()
    words = html.escape(caption)
    return (
        f'<figure style="margin: 0; text-align: center"><img alt="{words}" src="data:image/png;base64,{data}" '
        f'style="height: {height}px; image-rendering: pixelated"><figcaption>{words}</figcaption></figure>'
    )


def _png(image: FloatArray) -> bytes:
    """A file of `[channel, height, width]` from 0 to 1."""
    import numpy as np

    levels = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in levels)
    kind = 0 if levels.shape[2] == 1 else 2
    header = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], 8, kind, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    packed = [struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def _race(answer: Answer, height: int) -> str:
    """The logits of the two classes over the steps."""
    width = 2 * height
    classes = [(answer.original, "#c02942", "y'"), (answer.neighbor, "#1f5fd0", "y''")]
    race = answer.race[:, [number for number, _, _ in classes]]
    low, high = float(race.min()), float(race.max())
    steps = max(len(race) - 1, 1)

    def point(step: int, logit: float) -> str:
        return f"{step / steps * width:.1f},{(1 - (logit - low) / max(high - low, 1e-6)) * height:.1f}"

    lines = [
        f'<polyline fill="none" stroke="{color}" stroke-width="2" points="{" ".join(point(step, float(row[column])) for step, row in enumerate(race))}"/>'
        for column, (_, color, _) in enumerate(classes)
    ]
    words = "; ".join(f'<span style="color: {color}">{name} = {number}</span>' for number, color, name in classes)
    caption = f"logits over {steps} steps: {words}; the answer is {answer.prediction}"
    return (
        f'<figure style="margin: 0"><svg role="img" aria-label="The race of the logits" width="{width}" height="{height}" '
        f'style="overflow: visible">{"".join(lines)}</svg><figcaption>{caption}</figcaption></figure>'
    )
