"""The page: the newest events with their heat maps, and the same as JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse, HTMLResponse

from streamwatch.documents import event_document
from streamwatch.evidence.layout import KINDS, path_of
from streamwatch.records import Event

ListEvents = Callable[[], Sequence[Event]]
SHOWN = {
    "starts": "image/jpeg",
    "peaks": "image/jpeg",
    "snapshots": "image/jpeg",
    "maps": "application/octet-stream",
    "scores": "image/svg+xml",
    "clips": "video/mp4",
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
.event .scores{background:none;margin:.4rem 0}.event p{margin:0}
.event div{padding:.6rem .8rem}.muted{opacity:.7}.open{color:#c33;font-weight:600}
"""


def page_app(list_events: ListEvents, folder: Path, *, title: str = "streamwatch") -> FastAPI:
    """The app that people look at.

    Args:
        list_events: the newest events first.
        folder: of the evidence (``evidence.writer``).
    """
    app = FastAPI(title=title, openapi_url=None)

    @app.get("/", response_class=HTMLResponse)
    def get_page() -> str:
        return render_page(list_events(), folder, title)

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


def render_page(events: Sequence[Event], folder: Path, title: str) -> str:
    """The whole page as HTML, without scripts; it reloads itself every 5 seconds."""
    cards = "".join(_card(event, folder) for event in events) or "<p>No events yet.</p>"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="5">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f'<h1>{escape(title)}</h1><p class="muted">{len(events)} newest events; colour shows where a patch is far from'
        f" what the camera normally sees.</p><div class=grid>{cards}</div></html>"
    )


def _card(event: Event, folder: Path) -> str:
    facts = event_document(event)
    ended = f"{facts['end_s']:.1f} s" if event.end_time_s is not None else '<span class="open">open</span>'
    there = {kind for kind in SHOWN if path_of(folder, kind, event.id).is_file()}
    shown = next((kind for kind in ("snapshots", "starts") if kind in there), None)
    alt = "heat map" if shown == "snapshots" else "beginning"
    picture = f'<img alt="{alt} of event {event.id}" src="{shown}/{event.id}.jpg">' if shown else ""
    scores = f'<img class=scores alt="score over time" src="scores/{event.id}.svg">' if "scores" in there else ""
    names = {"clips": "clip", "starts": "start", "peaks": "peak", "evidence": "evidence"}
    links = " · ".join(f'<a href="{k}/{event.id}{KINDS[k]}">{name}</a>' for k, name in names.items() if k in there)
    return (
        f'<article class="event">{picture}<div><strong>{escape(event.camera)}</strong> '
        f"{event.start_time_s:.1f} s to {ended}<br><span class=muted>score {event.peak.score:.1f}, threshold "
        f"{event.start_threshold:.1f}, {escape(facts['start'])}{', ' + escape(event.reason) if event.reason else ''}</span>"
        f"{scores}<p>{links}</p></div></article>"
    )
