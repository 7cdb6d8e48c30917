"""What is kept of events for people: written by threads of its own, kept within limits."""
