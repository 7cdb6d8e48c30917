"""The scoring thread: batches in, event changes out, and the thread that stores and tells them."""
