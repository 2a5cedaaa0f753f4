"""Where checkpoints lie: one folder for each, named by its step. Needs no torch."""

from __future__ import annotations

from pathlib import Path

PREFIX = "step-"


def latest(out: Path) -> Path | None:
    """Return the newest checkpoint in a folder, or None."""
    found = [path for path in out.glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdigit()]
    return max(found, default=None, key=lambda path: int(path.name.removeprefix(PREFIX)))


def chosen(path: Path) -> Path:
    """Return `path` if it is a checkpoint, else the newest one in it.

    Raises:
        FileNotFoundError: there is none.
    """
    found = path if (path / "adapter_config.json").is_file() else latest(path)
    if found is None:
        raise FileNotFoundError(f"{path} holds no checkpoint")
    return found
