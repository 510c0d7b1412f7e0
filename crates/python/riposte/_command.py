"""The command `riposte`."""

from __future__ import annotations

import signal
import sys

from . import _riposte


def main() -> None:
    """Run the command line, and end with its exit code."""
    # The program hears Ctrl-C itself, where it has something to finish; elsewhere it ends, as programs do.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_riposte.main(["riposte", *sys.argv[1:]]))
