"""Reading video: sources, decoding and resizing, overlays. Knows nothing of models or events."""
