"""What the operating system asks of a process: signals, systemd, and that its loops make progress."""
