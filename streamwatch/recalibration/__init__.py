"""The daemon goes on calibrating: thresholds from what cameras hold while they are watched."""
