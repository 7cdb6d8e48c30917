"""Video held in memory, and the clips of events that are cut from it."""
