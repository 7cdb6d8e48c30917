"""What is measured, and what it came to: each command here writes its figures beside it as JSON."""
