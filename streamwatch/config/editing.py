"""Changing a configuration file as a person would: what they wrote stays, comments and all, and only what is asked for changes.

A change is validated as a whole before it is written, and written as a whole or not at all.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter
from yaml import MappingNode, Node, SafeLoader, SequenceNode, compose

from streamwatch.config.loading import Secrets, parse_config, secrets_folder
from streamwatch.config.schema import Config
from streamwatch.errors import ConfigError, UsageError
from streamwatch.files import write_atomically
from streamwatch.masking import SHOWN, mask_credentials, remember

_COMMENT = re.compile(r"(?:^|(?<=\s))#[^\n\r]*[^\s]", re.MULTILINE)
_REFERENCE = re.compile(r"\$\{\w+\}")
_USER_ALONE = re.compile(r"://[^:@/\s]*:?@")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_]")
DECIMALS = 4
"""Of numbers that are written: a fifth of a pixel of a picture 1920 wide; and none of them needs an exponent."""
_LINE_WIDTH = 4096
"""So that no line of the user's is broken."""


class _Representer(RoundTripRepresenter):
    """Writes null where the library would write nothing."""


_Representer.add_representer(type(None), lambda made, _: made.represent_scalar("tag:yaml.org,2002:null", "null"))


class AlreadyThere(UsageError):
    """What is to be new is there."""


class FileChanged(UsageError):
    """The file is not what it was when its tag was given."""


class ConfigEditor:
    """Edits one file; whoever edits it at the same time is refused by the tag.

    Args:
        path: of the configuration.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._editing = path, threading.Lock()

    def text(self) -> str:
        """What stands there, its line ends as they are.

        Raises:
            UsageError: it cannot be read.
        """
        try:
            return self.path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot be read ({error.__class__.__name__})", where=self.path, hint="check the file") from None

    def shown(self) -> tuple[str, str]:
        """The text, its secrets masked line by line, and the tag of what stands there; a faulty one, too."""
        text = self.text()
        with suppress(ConfigError):
            parse_config(text, self.path)  # from then on its secrets are known, and masked
        return "".join(_masked_lines(text)), tag_of(text)

    def check(self, text: str) -> Config:
        """What a text would come to; lines that are shown masked and were left alone stand for what they hide.

        Raises:
            ConfigError: it is wrong, with a line for each fault.
        """
        return parse_config(self._unmasked(text), self.path)

    def replace(self, text: str, expected_tag: str | None = None) -> str:
        """Put another text in its place; its tag.

        Raises:
            ConfigError: it is wrong; FileChanged: the file is another by now; UsageError: it cannot be written.
        """
        with self._editing:
            self._require(expected_tag)
            whole = self._unmasked(text)
            parse_config(whole, self.path)
            write_atomically(self.path, whole)
            return tag_of(whole)

    def change_camera(
        self, camera: str, patch: Mapping[str, Any], expected_tag: str | None = None, *, new: bool = False
    ) -> str:
        """Set keys of a camera; None takes a key away. The tag of the new text.

        Args:
            new: there is none of that name yet.

        Raises:
            AlreadyThere: there is one of a name that is to be new; else as ``replace``.
        """

        def change(document: CommentedMap) -> None:
            cameras = document["cameras"]
            known = _key_of(cameras, camera)
            if new and known is not None:
                raise AlreadyThere(f"there is a camera {camera} already", where=self.path)
            if known is None:
                known, cameras[camera] = camera, CommentedMap()
            merge(cameras[known], patch)

        return self._edit(lambda text: edited(text, change), camera, expected_tag)

    def remove_camera(self, camera: str, expected_tag: str | None = None) -> str:
        """Take a camera out; the tag of the new text. Raises as ``replace``."""
        return self._edit(lambda text: without_camera(text, camera, where=self.path), camera, expected_tag)

    def keep_secret(self, owner: str, value: str) -> str:
        """Keep a secret in a file that only its owner reads; how it is written in the configuration.

        Args:
            owner: what it is of; each has a name of its own.

        Raises:
            UsageError: it cannot be written, or something of that name would be taken in its place.
        """
        folder = secrets_folder(self.path)
        name = f"CAMERA_{_NOT_IN_A_NAME.sub('_', owner).upper()}_{hashlib.sha256(owner.encode()).hexdigest()[:6].upper()}"
        if any((place / name).exists() for place in Secrets.beside(self.path).folders if place != folder) or name in os.environ:
            raise UsageError(f"{name} is set elsewhere, and would be taken in its place", where=folder)
        path = folder / name
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        except OSError as error:
            raise UsageError(f"cannot be written ({error.strerror})", where=folder, hint="check the folder") from None
        remember(value)
        write_atomically(path, value)  # which leaves its mode as it is
        return f"${{{name}}}"

    def writable(self) -> bool:
        """Whether changes can be kept: a file that is mounted by itself cannot be replaced."""
        path = self.path.resolve()
        return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK) and not os.path.ismount(path)

    def _unmasked(self, text: str) -> str:
        """With the lines that the file has in the place of those that show it masked, in their order.

        Raises:
            ConfigError: a mask stands where the file has none.
        """
        hidden: dict[str, list[str]] = {}
        for line, shown in zip(_lines(before := self.text()), _masked_lines(before), strict=True):
            if SHOWN in shown:
                hidden.setdefault(shown.rstrip("\r\n"), []).append(line)
        lines = []
        for line in _lines(text):
            known = hidden.get(line.rstrip("\r\n"), []) if SHOWN in line else [line]
            if not known:
                hint = "leave the line as it is, or write ${NAME} there and the secret into a file NAME in secrets/"
                raise ConfigError(f"{SHOWN} stands where a secret was masked", where=self.path, hint=hint)
            lines.append(known.pop(0) if len(known) > 1 else known[0])
        return "".join(lines)

    def _edit(self, change: Callable[[str], str], camera: str, expected_tag: str | None) -> str:
        with self._editing:
            self._require(expected_tag)
            before = self.text()
            known = _without(parse_config(before, self.path), camera)
            text = change(before)
            kept = camera not in parse_config(text, self.path).cameras or _keeps_comments(before, text)
            if _without(parse_config(text, self.path), camera) != known or not kept:
                raise ConfigError("the file says more than can be kept", where=self.path, hint=f"change {camera} in it by hand")
            write_atomically(self.path, text)
            return tag_of(text)

    def _require(self, expected_tag: str | None) -> None:
        if expected_tag is not None and tag_of(self.text()) != expected_tag:
            raise FileChanged("it was changed meanwhile", where=self.path, hint="read it again")


def _without(config: Config, camera: str) -> Config:
    return config.model_copy(update={"cameras": {name: of for name, of in config.cameras.items() if name != camera}})


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _masked_lines(text: str) -> list[str]:
    """Each line with its secrets masked; names of secrets are none."""
    return [_masked(line) for line in _lines(text)]


def _masked(line: str) -> str:
    masked = mask_credentials(line.rstrip("\r\n")) + line[len(line.rstrip("\r\n")) :]
    return line if masked != line and not _secrets_left(line) else masked


def _secrets_left(line: str) -> bool:
    """Whether a line hides something else than names of secrets."""
    without = _USER_ALONE.sub("://", _REFERENCE.sub("", line))
    return mask_credentials(without) != without


def _keeps_comments(before: str, after: str) -> bool:
    """Whether every comment is still there; what looks like one in a text is, too."""
    return all(comment in after for comment in _COMMENT.findall(before))


def _key_of(mapping: Mapping[Any, Any], name: str) -> Any:
    """The key that is written so: YAML reads 101 as a number; None if there is none."""
    return next((key for key in mapping if str(key) == name), None)


def tag_of(text: str) -> str:
    """Names a text's content."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def edited(text: str, change: Callable[[CommentedMap], object]) -> str:
    """A document after ``change``, with the comments, the order and the quotes of its writer.

    Raises:
        ConfigError: it is no YAML.
    """
    yaml = YAML(typ="rt")
    yaml.Representer = _Representer
    yaml.preserve_quotes = True
    yaml.width = _LINE_WIDTH
    yaml.indent(**_indents_of(text))
    try:
        document = yaml.load(text)
        change(document)
    except YAMLError as error:
        raise ConfigError(f"not valid YAML ({error.__class__.__name__})") from None
    out = io.StringIO()
    yaml.dump(document, out)
    return out.getvalue().replace("\n", "\r\n") if "\r\n" in text else out.getvalue()


def without_camera(text: str, camera: str, *, where: Path) -> str:
    """A configuration without a camera: its lines are gone, and what is written between it and the next one stays.

    Raises:
        UsageError: there is none of that name.
    """
    node = compose(text, Loader=SafeLoader)
    pairs = {key.value: value for key, value in node.value} if isinstance(node, MappingNode) else {}
    cameras = pairs.get("cameras")
    found = [(key, value) for key, value in cameras.value if key.value == camera] if isinstance(cameras, MappingNode) else []
    if not found or cameras is None:
        raise UsageError(f"there is no camera {camera}", where=where)
    if cameras.flow_style:
        return edited(text, lambda document: document["cameras"].pop(_key_of(document["cameras"], camera)))
    key, value = found[0]
    lines = _lines(text)
    return "".join(lines[: key.start_mark.line] + lines[_last_line(value) + 1 :])


def _last_line(node: Node) -> int:
    """Of what is written of a node, comments behind it left aside; counted from 0."""
    if isinstance(node, MappingNode) and node.value and not node.flow_style:
        return _last_line(node.value[-1][1])
    if isinstance(node, SequenceNode) and node.value and not node.flow_style:
        return _last_line(node.value[-1])
    return int(node.end_mark.line) - (node.end_mark.column == 0 and node.end_mark.line > node.start_mark.line)


def merge(known: CommentedMap, patch: Mapping[str, Any]) -> None:
    """A JSON merge patch (RFC 7396): mappings are merged, None takes a key away, all else replaces what is there."""
    for name, value in patch.items():
        key = _key_of(known, name)
        if value is None:
            known.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(known.get(key), CommentedMap):
            merge(known[key], value)
        else:
            known[name if key is None else key] = _written(value)


def _written(value: Any) -> Any:
    """A value as a person would write it: lists of numbers on one line."""
    if isinstance(value, Mapping):
        return CommentedMap((key, _written(item)) for key, item in value.items() if item is not None)
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, list | tuple):
        sequence = CommentedSeq([_written(item) for item in value])
        sequence.fa.set_flow_style()
        return sequence
    return value


def _indents_of(text: str) -> dict[str, int]:
    """How deep its writer indents mappings and lists."""
    mapping = re.search(r"^[^\s#-][^\n]*:[ \t]*(?:#[^\n]*)?\n(?:\s*#[^\n]*\n|\s*\n)*( +)[^\s#-]", text, re.MULTILINE)
    listed = re.search(r"^( *)[^\s#-][^\n]*:[ \t]*(?:#[^\n]*)?\n(?:\s*#[^\n]*\n|\s*\n)*( *)- ", text, re.MULTILINE)
    deep = len(mapping[1]) if mapping else 2
    offset = max(len(listed[2]) - len(listed[1]), 0) if listed else 2
    return {"mapping": deep, "sequence": offset + 2, "offset": offset}
