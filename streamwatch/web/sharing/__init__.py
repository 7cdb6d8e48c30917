"""One view of a site that several processes watch: what the others say, and asking them for what they alone have."""
