"""HTTP: metrics and health for machines, a page of events for people."""
