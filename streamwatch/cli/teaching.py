"""What `streamwatch events label` teaches to a camera's model, and how that is said."""

from __future__ import annotations

from pathlib import Path

from streamwatch.config.schema import Config
from streamwatch.evidence.event_frames import inputs_path, load_frames
from streamwatch.learning.feedback import FeedbackResult, journal_of
from streamwatch.model.calibration.thresholds import thresholds_for
from streamwatch.model.regime import image_statistics, regime_of
from streamwatch.records import Event
from streamwatch.scenes.model_files import camera_model_paths, other_regimes
from streamwatch.scenes.policy import budgets_of
from streamwatch.scenes.shared_models.use import shared
from streamwatch.scenes.statements import rate_text

MUCH_OF_THE_PICTURE = 0.25
TOO_MUCH = (
    "That is {:.0%} of the picture, where only stronger alarms will be raised from now on: the event was long or large. "
    "`label ID none` takes it back; a shorter event of the same thing teaches less."
)
RELOAD = "A running daemon takes it up when it is reloaded (SIGHUP)."


def teach(config: Config, event: Event, label: str) -> str:
    """Have the camera's model learn, or forget; what came of it, to be said after the label.

    Raises:
        ModelFileError, ModelMismatch: the model cannot be read or written, or is of another backbone.
    """
    if event.camera not in config.cameras:
        return "; its camera has no model to teach"
    with shared(config, event.camera):
        if not config.model_path(event.camera).is_file():
            return "; its camera has no model to teach"
        return _taught(config, event, label)


def _taught(config: Config, event: Event, label: str) -> str:
    inputs = config.data_dir / "inputs"
    if label != "normal":
        paths = camera_model_paths(config, event.camera)
        forgotten = [journal_of(config, event.camera, path).forget(event.id) for path in paths]
        return f"; the model no longer holds it. {RELOAD}" if any(forgotten) else ""
    taught = journal_of(config, event.camera, _model_of(config, event, inputs)).teach(event, inputs)
    if taught is None:
        return "; its frames were not kept, so that the model learns nothing from it"
    text = (
        f"; taught {event.camera} {taught.frames} frames that count {taught.weight} times each, and raised the threshold at "
        f"{taught.cells} cells, up to {taught.factor:.1f} times; {_thresholds_text(config, event, taught)}. {RELOAD}"
    )
    return text if taught.share < MUCH_OF_THE_PICTURE else f"{text} {TOO_MUCH.format(taught.share)}"


def _thresholds_text(config: Config, event: Event, taught: FeedbackResult) -> str:
    """What became of the threshold of the event's zone."""
    budget = budgets_of(config, event.camera).get(event.zone)
    before, after = (c.peaks_of(event.zone) if c else () for c in (taught.before, taught.after))
    if budget is None or not before or len(before) != len(after):
        return "thresholds stay, because what they came from is not known"
    fields = len(before)
    texts = [
        f"{new.field and f'{new.field} '}{thresholds_for(new, budget / fields, fields).start:.2f} "
        f"(it was {thresholds_for(old, budget / fields, fields).start:.2f})"
        for old, new in zip(before, after, strict=True)
    ]
    return f"the threshold that keeps {rate_text(budget)}, derived anew, is {' and '.join(texts)}"


def _model_of(config: Config, event: Event, inputs: Path) -> Path:
    """The model of the regime that the event's frames are of."""
    path = config.model_path(event.camera)
    kept, others = load_frames(inputs_path(inputs, event.id)), other_regimes(path)
    return others.get(regime_of(image_statistics(kept.pixels[0]), None), path) if kept and others else path
