"""The page: the newest events with their heat maps, and the same as JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse, HTMLResponse

from streamwatch.events.wire import event_document
from streamwatch.records import Event
from streamwatch.runtime.evidence import KINDS

ListEvents = Callable[[], Sequence[Event]]
SHOWN = {
    "starts": "image/jpeg",
    "peaks": "image/jpeg",
    "snapshots": "image/jpeg",
    "maps": "application/octet-stream",
    "evidence": "application/json",
}
"""Kinds of evidence that are given out, with their media types; what the model saw is not."""
_ID = re.compile(r"^[0-9a-f-]{36}$")

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882}
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem;margin-bottom:.2rem}
.grid{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(20rem,1fr))}
.event{border:1px solid var(--line);border-radius:.6rem;overflow:hidden}
.event img{width:100%;display:block;background:var(--soft)}
.event div{padding:.6rem .8rem}.muted{opacity:.7}.open{color:#c33;font-weight:600}
"""


def page_app(list_events: ListEvents, folder: Path, *, title: str = "streamwatch") -> FastAPI:
    """The app that people look at.

    Args:
        list_events: the newest events first.
        folder: of the evidence (``runtime.evidence``).
    """
    app = FastAPI(title=title, openapi_url=None)

    @app.get("/", response_class=HTMLResponse)
    def get_page() -> str:
        return render_page(list_events(), folder / "snapshots", title)

    @app.get("/api/v1/events")
    def get_events() -> list[dict[str, Any]]:
        return [event_document(event) for event in list_events()]

    @app.get("/{kind}/{name}")
    def get_evidence(kind: str, name: str) -> FileResponse:
        event_id, dot, ending = name.partition(".")
        path = folder / kind / name
        if kind not in SHOWN or dot + ending != KINDS[kind] or not _ID.match(event_id) or not path.is_file():
            raise HTTPException(404, "no such evidence")
        return FileResponse(path, media_type=SHOWN[kind])

    return app


def render_page(events: Sequence[Event], snapshots: Path, title: str) -> str:
    """The whole page as HTML, without scripts; it reloads itself every 5 seconds."""
    cards = "".join(_card(event, snapshots) for event in events) or "<p>No events yet.</p>"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="5">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f'<h1>{escape(title)}</h1><p class="muted">{len(events)} newest events; colour shows where a patch is far from'
        f" what the camera normally sees.</p><div class=grid>{cards}</div></html>"
    )


def _card(event: Event, snapshots: Path) -> str:
    facts = event_document(event)
    ended = f"{facts['end_s']:.1f} s" if event.end_time_s is not None else '<span class="open">open</span>'
    has_picture = (snapshots / f"{event.id}.jpg").is_file()
    picture = f'<img alt="heat map of event {event.id}" src="snapshots/{event.id}.jpg">' if has_picture else ""
    return (
        f'<article class="event">{picture}<div><strong>{escape(event.camera)}</strong> '
        f"{event.start_time_s:.1f} s to {ended}<br><span class=muted>score {event.peak.score:.1f}, threshold "
        f"{event.start_threshold:.1f}, {escape(facts['start'])}{', ' + escape(event.reason) if event.reason else ''}</span>"
        "</div></article>"
    )
