"""What people look at; made of the API, and of a little JavaScript that ships with it."""
