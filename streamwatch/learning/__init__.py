"""Learning and calibrating scenes from footage, and from what people say of events."""
