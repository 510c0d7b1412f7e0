"""The command `riposte`, as `python -m riposte`."""

from ._command import main

main()
