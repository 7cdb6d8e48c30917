"""Runs the documentation: the marked blocks of its pages, in their order, as a reader would.

python -m tools.documented FOLDER PAGE...

A comment on the line before a block says what is done with it:

    <!-- run -->                        its commands; exports and the folder they enter stay for the next block
    <!-- start: HOST:PORT -->           goes on in the background until the end; the next block waits until it listens
    <!-- run until: HOST:PORT -->       is ended with Ctrl-C as soon as it listens
    <!-- file: NAME -->                 is written to NAME; `file: >> NAME` adds it to the end
    <!-- settings -->                   a part of a configuration
    <!-- not run: WHY -->

`clean room:` before the rest means that it is run only on a machine that may be changed, by tools/clean_room.py.
Nothing but the standard library is imported, so that this runs where streamwatch is not installed yet.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

_MARK = re.compile(r"<!-- (?P<clean>clean room: )?(?P<kind>run until|run|start|file|settings|not run)(?:: (?P<rest>.+))? -->")
_LISTENS_WITHIN_S = 240.0
_ENDS_WITHIN_S = 10.0
_BLOCK_WITHIN_S = 570.0


class DocumentationFault(Exception):
    """A page says something that is not so, or that nobody tried."""


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two fences, and what is to be done with it; ``line`` is its first one's number."""

    page: str
    line: int
    kind: str
    argument: str
    clean_room: bool
    content: str


def blocks_of(page: Path) -> Iterator[Block]:
    """All blocks of a page.

    Raises:
        DocumentationFault: a block has no comment that says what is done with it.
    """
    lines = page.read_text().splitlines()
    fences = [number for number, line in enumerate(lines) if line.startswith("```")]
    for begin, end in zip(fences[::2], fences[1::2], strict=True):
        mark = _MARK.fullmatch(lines[begin - 1]) if begin else None
        if mark is None or (mark["kind"] not in {"run", "settings"}) != bool(mark["rest"]):
            raise DocumentationFault(f"{page.name}:{begin + 1}: nothing says whether this block is run")
        content = "\n".join(lines[begin + 1 : end]) + "\n"
        yield Block(page.name, begin + 2, mark["kind"], mark["rest"] or "", bool(mark["clean"]), content)


class Reader:
    """Somebody at a shell who does what the pages say."""

    def __init__(self, folder: Path, environment: dict[str, str], *, clean_room: bool) -> None:
        """``folder`` is where they begin; ``environment`` is the shell's."""
        self._environment = {**environment, "PWD": str(folder)}
        self._notes = folder / ".reader"
        self._notes.mkdir()
        self._clean_room = clean_room
        self._running: list[subprocess.Popen[bytes]] = []
        self.said: dict[str, str] = {}
        """What each block printed, by PAGE:LINE."""

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        for process in self._running:
            _interrupt(process)

    @property
    def here(self) -> Path:
        """The folder that they are in."""
        return Path(self._environment["PWD"])

    def follow(self, block: Block) -> bool:
        """Do what a block says; whether there was anything to do.

        Raises:
            DocumentationFault: it does not work.
        """
        if block.kind in {"settings", "not run"} or (block.clean_room and not self._clean_room):
            return False
        if block.kind == "file":
            self._write(block)
        elif block.kind == "run":
            self._run(block)
        else:
            self._start(block)
        return True

    def _write(self, block: Block) -> None:
        _, added, name = block.argument.rpartition(">> ")
        with (self.here / name).open("a" if added else "w") as file:
            file.write(block.content)

    def _run(self, block: Block) -> None:
        after = self._notes / "environment"
        process, output = self._begin(block, f"{block.content}\nenv --null > {after}\n")
        try:
            code = process.wait(_BLOCK_WITHIN_S)
        except subprocess.TimeoutExpired:
            _interrupt(process)
            raise DocumentationFault(f"{_output(block, output)}\nit did not end within {_BLOCK_WITHIN_S:.0f} s") from None
        self.said[f"{block.page}:{block.line}"] = output.read_text()
        if code != 0 or "Traceback" in output.read_text():
            raise DocumentationFault(f"{_output(block, output)}\nexit code {code}")
        self._environment = dict(pair.split("=", 1) for pair in after.read_text().split("\0") if "=" in pair)

    def _start(self, block: Block) -> None:
        process, output = self._begin(block, block.content)
        self._running.append(process)
        if not _listens(process, block.argument):
            raise DocumentationFault(f"{_output(block, output)}\nnothing listens on {block.argument}")
        if block.kind == "run until":
            _interrupt(process)
        self.said[f"{block.page}:{block.line}"] = output.read_text()

    def _begin(self, block: Block, script: str) -> tuple[subprocess.Popen[bytes], Path]:
        output = self._notes / f"{block.page}.{block.line}"
        with output.open("wb") as file:
            process = subprocess.Popen(
                ["/bin/bash", "-ec", script],
                cwd=self.here,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return process, output


def _output(block: Block, output: Path) -> str:
    return f"{block.page}:{block.line}\n{block.content}\n{output.read_text(errors='replace')[-4000:]}"


def _listens(process: subprocess.Popen[bytes], address: str) -> bool:
    """Whether something accepts connections before the process ends or time is up."""
    host, _, port = address.rpartition(":")
    until_s = time.monotonic() + _LISTENS_WITHIN_S
    while process.poll() is None and time.monotonic() < until_s:
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return True
        time.sleep(0.1)
    return False


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C to all that a block began; what does not end by that, because it was begun deaf to it, is killed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_ENDS_WITHIN_S)


def main() -> None:
    """Follow the pages in a clean room, and say how long each block took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("pages", type=Path, nargs="+")
    asked = parser.parse_args()
    followed = 0
    try:
        with Reader(asked.folder.resolve(), dict(os.environ), clean_room=True) as reader:
            for block in (block for page in asked.pages for block in blocks_of(page)):
                began_s = time.monotonic()
                if reader.follow(block):
                    followed += 1
                    print(f"{block.page}:{block.line}: {block.kind}, {time.monotonic() - began_s:.1f} s", flush=True)
    except DocumentationFault as fault:
        sys.exit(str(fault))
    print(f"{followed} blocks, all as the pages say")


if __name__ == "__main__":
    main()
