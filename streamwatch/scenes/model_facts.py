"""What a model file says of itself, as people and programs are told it."""

from __future__ import annotations

from typing import Any

from streamwatch.documents import iso_time


def model_facts(document: dict[str, Any]) -> dict[str, Any]:
    """From a model file's metadata (``read_metadata``)."""
    identity, provenance = document["identity"], document["provenance"]
    return {
        "learned": iso_time(provenance["fitted_at_s"]),
        "frames": document["frames"],
        "footage_s": round(provenance["footage_s"], 1),
        "sources": list(provenance["sources"]),
        "features": list(document["fields"]),
        "regime": document.get("regime"),
        "backbone": f"{identity['backbone']}, d = {identity['dims']}, seed {identity['seed']}",
        "weights": f"{identity['weights']} ({identity['weights_sha256'][:12]})",
        "streamwatch": document["streamwatch_version"],
    }
