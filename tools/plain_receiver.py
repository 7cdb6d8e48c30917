"""A receiver process that answers 200 to everything; prints its URL."""

from __future__ import annotations

import threading

from tools.receiver import running_receiver


def main() -> None:
    """Run until it is ended."""
    with running_receiver() as receiver:
        print(receiver.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
