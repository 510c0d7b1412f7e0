"""A bar that shows how far a computation is."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from typing import Any, Callable, Iterator, Optional, Union

Progress = Union[bool, Callable[[int, int], None]]
"""True shows a bar; a function is told the steps so far and in all (0: unknown)."""


@contextmanager
def bar_of(progress: Progress, title: str) -> Iterator[Optional[Callable[[int, int], None]]]:
    """What is told of progress."""
    if callable(progress):
        yield progress
    elif not progress:
        yield None
    else:
        try:
            # By its name, as it has no types of its own.
            tqdm = import_module("tqdm.auto").tqdm
        except ImportError as error:
            raise ImportError("`progress=True` shows a bar of tqdm, which is not installed: `pip install tqdm`") from error
        shown: list[Any] = []

        def tell(done: int, total: int) -> None:
            if not shown:
                shown.append(tqdm(total=total or None, desc=title))
            shown[0].total = total or None
            shown[0].update(done - shown[0].n)

        try:
            yield tell
        finally:
            for bar in shown:
                bar.close()
