"""What makes the pages, and what tests and benchmarks share."""
