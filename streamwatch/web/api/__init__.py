"""The API, version 1: what integrators call, and what the pages are made of."""
