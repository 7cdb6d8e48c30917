"""The document of an event's evidence: what its files are, by what they came about, and the sha256 of each."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from streamwatch import __version__
from streamwatch.documents import event_document
from streamwatch.evidence.layout import KINDS, path_of
from streamwatch.files import sha256_of
from streamwatch.records import Event


def manifest_of(folder: Path, event: Event, facts: Mapping[str, Any], clip: Mapping[str, Any] | None) -> dict[str, Any]:
    """The document of the files that are there now, JSON-ready.

    Args:
        facts: by what models and configuration the event came about; without secrets.
        clip: what its video came to; None while that grows, and then it has no digest.
    """
    kinds = [kind for kind in KINDS if kind != "evidence" and (kind != "clips" or clip)]
    paths = [path_of(folder, kind, event.id) for kind in kinds]
    digests = {f"{path.parent.name}/{path.name}": digest for path in paths if (digest := sha256_of(path))}
    made = {"streamwatch": __version__, "python": platform.python_version(), **facts}
    return {"event": event_document(event), "made_by": made, "clip": clip, "sha256": digests}


def check_manifest(folder: Path, event_id: str) -> Sequence[str]:
    """What of an event's evidence is not as its document says; nothing if all is, or if it has none."""
    try:
        expected = json.loads(path_of(folder, "evidence", event_id).read_text())["sha256"]
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError) as error:
        return (f"evidence/{event_id}.json: cannot be read ({error})",)
    found = {name: sha256_of(folder / name) for name in expected}
    return [f"{name}: {'altered' if found[name] else 'missing'}" for name in expected if found[name] != expected[name]]
