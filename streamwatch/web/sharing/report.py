"""What this process says of itself to the others of its site: what its own API answers of what it watches."""

from __future__ import annotations

from typing import Any

from streamwatch.web.api.cameras import own_cameras
from streamwatch.web.api.system import capacity_of
from streamwatch.web.context import SiteContext


def report_of(site: SiteContext) -> dict[str, Any]:
    """Cameras and capacity; raises StoreError."""
    capacity = capacity_of(site, site.live) if site.live else None
    return {
        "cameras": [camera.model_dump(mode="json") for camera in own_cameras(site)],
        "capacity": capacity.model_dump(mode="json") if capacity else None,
    }
