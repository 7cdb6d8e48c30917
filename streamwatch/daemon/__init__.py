"""One process's life: built from a configuration, run, reloaded and stopped in order."""
