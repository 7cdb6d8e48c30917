"""What of a running daemon can be looked at: newest pictures, levels, states, and what happens."""
