"""What the API says and takes, each with an example."""
