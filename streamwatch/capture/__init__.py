"""The cameras' threads, up to the queue that the engine takes frames from."""
