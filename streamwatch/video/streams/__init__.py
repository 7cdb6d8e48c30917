"""Opening what a camera or a recording is, and judging every picture of it."""
