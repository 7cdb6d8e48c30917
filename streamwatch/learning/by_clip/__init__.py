"""Learning a scene clip by clip, on as many workers as there are: the model does not depend on how many."""
