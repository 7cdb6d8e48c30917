"""Of streamwatch.bench."""
