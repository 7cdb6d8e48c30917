"""A model file and the one before it: kept when it is replaced, exchanged when it is rolled back."""

from __future__ import annotations

import shutil
from pathlib import Path

from streamwatch.errors import ModelFileError, ModelMissing
from streamwatch.files import flush_folder, flush_to_disk, temporary_beside
from streamwatch.model.artifact.serialization import Provenance, load_model, save_model
from streamwatch.model.scene import SceneModel


def previous_path(path: Path) -> Path:
    """Where the model that ``path`` replaced is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def keep_previous(path: Path) -> None:
    """Keep the model at ``path``, if there is one, for ``restore_previous``; ``path`` itself stays.

    Raises:
        ModelFileError: it cannot be kept.
    """
    if not path.is_file():
        return
    kept, temporary = previous_path(path), temporary_beside(path)
    try:
        _link_or_copy(path, temporary)
        temporary.replace(kept)
        flush_folder(path.parent)
    except OSError as error:
        raise ModelFileError(f"the model before cannot be kept ({error})", where=kept, hint="check the folder") from error


def replace_model(scene: SceneModel, path: Path, provenance: Provenance) -> None:
    """Write ``scene`` to ``path``, and keep what was there for ``restore_previous``: the one way a model in use is replaced.

    Raises:
        ModelFileError: the disk refuses; what was there stays.
    """
    keep_previous(path)
    save_model(scene, path, provenance)


def restore_previous(path: Path) -> None:
    """Exchange the model at ``path`` and the one before it.

    Raises:
        ModelMissing: there is none before it; ModelFileError: the one before is damaged, or cannot be moved.
    """
    kept = previous_path(path)
    if not kept.is_file():
        raise ModelMissing("no previous model is kept", where=kept)
    load_model(kept)
    temporary = temporary_beside(path)
    try:
        _link_or_copy(path, temporary)
        kept.replace(path)
        temporary.replace(kept)
        flush_folder(path.parent)
    except OSError as error:
        raise ModelFileError(f"cannot be restored ({error})", where=path, hint="check the folder") from error


def _link_or_copy(path: Path, other: Path) -> None:
    """Have ``path`` under another name too; copied where the file system knows no hard links, as exFAT and SMB."""
    try:
        other.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, other)
        flush_to_disk(other)
