"""An RTSP camera made from a file, which misbehaves on command. Knows nothing of the rest of streamwatch."""
