"""A scene that never was, rendered to a real video file, so that anybody can see streamwatch work."""
