"""From distances to maps, scores and levels."""
