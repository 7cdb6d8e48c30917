"""The one way a camera's model is replaced: what was there is kept, and what people said of its events is taught again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from streamwatch.documents import duration_text, iso_time
from streamwatch.enums import ModelChangeKind
from streamwatch.learning.derive_calibration import take_calibration
from streamwatch.learning.feedback import FeedbackJournal
from streamwatch.model.artifact.serialization import Provenance, read_metadata
from streamwatch.model.artifact.versions import replace_model, restore_previous
from streamwatch.model.calibration.normal_levels import NormalLevels
from streamwatch.model.calibration.thresholds import Calibration
from streamwatch.model.scene import SceneModel
from streamwatch.scenes.model_history import ModelChange, record_change


def publish_model(
    model: SceneModel,
    path: Path,
    provenance: Provenance,
    journal: FeedbackJournal,
    kind: ModelChangeKind = ModelChangeKind.FITTED,
) -> int:
    """Put a model that was learned at ``path``; how many events that were called normal are taught to it again.

    Args:
        kind: how it was learned.

    Raises:
        ModelFileError: the disk refuses, or the journal cannot be read.
    """
    entries = journal.entries()
    replace_model(model, path, provenance)
    journal.rebase(entries)
    text = f"{model.frames} frames, {duration_text(provenance.footage_s)} of footage"
    detail = {"frames": model.frames, "sources": list(provenance.sources)}
    record_change(path, ModelChange(provenance.fitted_at_s, kind, "command", text, detail))
    return len(entries)


def publish_calibration(
    model: SceneModel,
    path: Path,
    provenance: Provenance,
    journal: FeedbackJournal,
    *,
    calibration: Calibration,
    levels: Mapping[str, NormalLevels] | None,
    at_wall_s: float,
) -> None:
    """Put other thresholds into the model at ``path``, and into the one before all feedback.

    Args:
        levels: what they were derived from; None if that is not known.
        at_wall_s: Unix time, for the history.

    Raises:
        ModelFileError: the disk refuses, or the journal cannot be read.
    """
    entries = journal.entries()
    journal.recalibrate(calibration, levels)
    take_calibration(model, calibration)
    model.levels_ = levels
    replace_model(model, path, provenance)
    journal.confirm(entries)
    text = f"on {calibration.frames} frames of normal footage"
    record_change(path, ModelChange(at_wall_s, ModelChangeKind.CALIBRATED, "command", text, {"frames": calibration.frames}))


def roll_back(path: Path, at_wall_s: float) -> None:
    """Exchange the model at ``path`` and the one before it.

    Args:
        at_wall_s: Unix time, for the history.

    Raises:
        ModelMissing: there is none before it; ModelFileError: the one before is damaged, or cannot be moved.
    """
    restore_previous(path)
    fitted_at_s = read_metadata(path)["provenance"]["fitted_at_s"]
    text = f"the model of {iso_time(fitted_at_s)} is back"
    record_change(path, ModelChange(at_wall_s, ModelChangeKind.ROLLED_BACK, "command", text, {"fitted_at": fitted_at_s}))
