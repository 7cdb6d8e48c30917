"""Delivery: what waits in the outbox reaches its endpoints at least once, in order per event."""
