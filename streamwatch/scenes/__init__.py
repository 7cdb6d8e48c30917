"""A camera's models and its configuration: how it is judged."""
