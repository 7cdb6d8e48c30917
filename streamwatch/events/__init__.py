"""From a stream of scores to anomaly events. Knows nothing of video, models or delivery."""
