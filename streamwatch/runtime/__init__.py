"""Where video, model, events and store meet: slots, batcher, engine, pipeline, and the offline paths."""
