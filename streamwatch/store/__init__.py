"""What must survive a crash: the event database (SQLAlchemy; SQLite by default, PostgreSQL by URL)."""
