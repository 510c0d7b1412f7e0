"""The experiment as a widget, whose value is what the visitor did."""

from __future__ import annotations

import importlib
import os
from functools import lru_cache
from typing import Any, Mapping, Optional, Union

from . import _element
from ._arrays import ArrayLike
from ._duel import Duel
from ._show import still_of

# The frame tells its height and every result to the page around it, as in any other page.
_SCRIPT = """
function render({ model, el }) {
  const frame = document.createElement('iframe');
  Object.assign(frame, { title: 'Riposte', allow: 'clipboard-write', srcdoc: model.get('_page') });
  const height = model.get('_height');
  Object.assign(frame.style, { width: '100%', border: '0', background: 'Canvas', height: `${height || 900}px` });
  const hear = ({ source, data }) => {
    if (source !== frame.contentWindow) return;
    if (data.type === 'riposte:height' && !height) frame.style.height = `${data.height}px`;
    if (data.type === 'riposte:result') {
      model.set('record', data.result);
      model.save_changes();
    }
  };
  addEventListener('message', hear);
  el.append(frame);
  return () => removeEventListener('message', hear);
}
export default { render };
"""


def widget(
    what: Union[Duel, Mapping[str, Any], ArrayLike, None] = None,
    *,
    dataset: Optional[str] = None,
    height: Optional[int] = None,
    page: Union[str, "os.PathLike[str]", None] = None,
    **attributes: Any,
) -> Any:
    """Show the page's experiment as a widget (`anywidget`), whose ``record`` is the visitor's run.

    Parameters
    ----------
    what : Duel, dict or array, optional
        What it begins with, as of `riposte.show`: a duel, a record, one image ``[channel, height, width]`` from 0 to 1.
    dataset : str, optional
        Whose classifier it begins with: ``"digits"``.
    height : int, optional
        In pixels of the screen; as high as its content without it.
    page : path, optional
        Another file of the element than the one that comes along.
    **attributes
        Any attribute of the element, as of `riposte.show`.

    Returns
    -------
    anywidget.AnyWidget
        Its ``record`` is None before the visitor ran an act, and then a dict in the words of ``riposte duel --json``, with ``act``, the last
        act that was run, and the images. ``widget.observe(function, "record")`` calls a function whenever it changes, and `riposte.show` shows it.

    Raises
    ------
    ImportError
        Without the package ``anywidget``: ``pip install "riposte-cli[widget]"``.
    ValueError
        As of `riposte.show`.
    """
    begins = {**_element.attributes_of(what, dataset, page), **attributes}
    _element.check(begins["dataset"], page)
    record = what.record if isinstance(what, Duel) else what if isinstance(what, Mapping) else None
    return _kind()(_page=_element.document(begins, still_of(what, record), page), _height=height or 0)


@lru_cache(maxsize=1)
def _kind() -> Any:
    """The widget's class, made where its packages are there."""
    try:
        anywidget, traitlets = importlib.import_module("anywidget"), importlib.import_module("traitlets")
    except ImportError as error:
        raise ImportError('a widget needs the package `anywidget`: pip install "riposte-cli[widget]"') from error
    return type(
        "Widget",
        (anywidget.AnyWidget,),
        {
            "__doc__": "The page's experiment. `record` is the visitor's run; None before one.",
            "__module__": __name__,
            "_esm": _SCRIPT,
            "_page": traitlets.Unicode().tag(sync=True),
            "_height": traitlets.Int().tag(sync=True),
            "record": traitlets.Dict(default_value=None, allow_none=True).tag(sync=True),
        },
    )
