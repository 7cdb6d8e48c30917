"""Past one machine: Ray's workers, and who watches what."""
