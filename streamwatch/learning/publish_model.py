"""The one way a camera's model is replaced: what was there is kept, and what people said of its events is taught again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from streamwatch.learning.derive_calibration import take_calibration
from streamwatch.learning.feedback import FeedbackJournal
from streamwatch.model.artifact.serialization import Provenance
from streamwatch.model.artifact.versions import replace_model
from streamwatch.model.calibration.normal_levels import NormalLevels
from streamwatch.model.calibration.thresholds import Calibration
from streamwatch.model.scene import SceneModel


def publish_model(model: SceneModel, path: Path, provenance: Provenance, journal: FeedbackJournal) -> int:
    """Put a model that was learned at ``path``; how many events that were called normal are taught to it again.

    Raises:
        ModelFileError: the disk refuses, or the journal cannot be read.
    """
    entries = journal.entries()
    replace_model(model, path, provenance)
    journal.rebase(entries)
    return len(entries)


def publish_calibration(
    model: SceneModel,
    path: Path,
    provenance: Provenance,
    journal: FeedbackJournal,
    *,
    calibration: Calibration,
    levels: Mapping[str, NormalLevels] | None,
) -> None:
    """Put other thresholds into the model at ``path``, and into the one before all feedback.

    Args:
        levels: what they were derived from; None if that is not known.

    Raises:
        ModelFileError: the disk refuses, or the journal cannot be read.
    """
    entries = journal.entries()
    journal.recalibrate(calibration, levels)
    take_calibration(model, calibration)
    model.levels_ = levels
    replace_model(model, path, provenance)
    journal.confirm(entries)
