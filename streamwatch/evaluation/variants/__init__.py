"""Other ways to tell normal patches from others, each beside the paper's."""
