"""A process among others that share a site's cameras: what it holds, and what it tells the others."""
