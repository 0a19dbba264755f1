"""The `ridgeline` command, and `python -m ridgeline`."""

from __future__ import annotations

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Until the command line is there to say it in a sentence, Ctrl-C just ends the process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ridgeline.cli import main as run

    run()


if __name__ == "__main__":
    main()
