"""From levels of normal footage to thresholds."""
