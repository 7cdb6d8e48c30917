"""``python -m streamwatch``."""

from streamwatch.cli.main import main

if __name__ == "__main__":
    main()
