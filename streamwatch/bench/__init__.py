"""What this machine carries: each step of a frame's way timed, and a daemon run on as many cameras as it is said to carry."""
