"""Where what is made once for a machine is kept."""

import os
import tempfile
from pathlib import Path


def cache_folder(name: str) -> Path:
    """The user's cache folder for `name`, or one in the temporary folder where the user's cannot be written."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    wanted = home / "ridgeline" / name
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        if os.access(wanted, os.W_OK):
            return wanted
    except OSError:
        pass
    spare = Path(tempfile.gettempdir(), f"ridgeline-{os.getuid()}", name)
    spare.mkdir(parents=True, exist_ok=True)
    return spare
