"""What a message looks like to its receiver."""
