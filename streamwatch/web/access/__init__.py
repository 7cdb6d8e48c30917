"""Who may use the page and the API, and what every request and answer has to hold."""
