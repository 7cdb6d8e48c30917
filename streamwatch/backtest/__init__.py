"""What a configuration would have raised on recordings: through the daemon itself, as fast as they are scored."""
