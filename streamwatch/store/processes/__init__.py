"""Which process of a site does what: leases of cameras, and what each process says of itself."""
