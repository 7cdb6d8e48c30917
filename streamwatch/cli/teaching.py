"""What `streamwatch events label` teaches to a camera's model, and how that is said."""

from __future__ import annotations

from streamwatch.config.models import Config
from streamwatch.records import Event
from streamwatch.runtime.lessons import LessonBook
from streamwatch.runtime.models import build_engine, spec_of

RELOAD = "A running daemon takes it up when it is reloaded (SIGHUP)."


def teach(config: Config, event: Event, label: str) -> str:
    """Have the camera's model learn, or forget; what came of it, to be said after the label.

    Raises:
        ModelFileError, ModelMismatch: the model cannot be read or written, or is of another backbone.
    """
    if event.camera not in config.cameras or not config.model_path(event.camera).is_file():
        return "; its camera has no model to teach"
    book = LessonBook(
        config.model_path(event.camera),
        lambda: build_engine(spec_of(config.backbone), device=config.device, precision=config.precision),
    )
    if label != "normal":
        return f"; the model no longer holds it. {RELOAD}" if book.forget(event.id) else ""
    taught = book.teach(event, config.data_dir / "inputs")
    if taught is None:
        return "; its frames were not kept, so that the model learns nothing from it"
    return (
        f"; taught {event.camera} {taught.frames} frames that count {taught.weight} times each, and raised the threshold at "
        f"{taught.cells} cells, up to {taught.factor:.1f} times. {RELOAD}"
    )
