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
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from streamwatch.config.loading import load_config, parse_config, secrets_folder
from streamwatch.config.schema import Config
from streamwatch.errors import ConfigError, UsageError
from streamwatch.files import write_atomically
from streamwatch.masking import SHOWN, mask_credentials, remember

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_]")
DECIMALS = 4
"""Of numbers that are written: a fifth of a pixel of a picture 1920 wide; and none of them needs an exponent."""
_LINE_WIDTH = 4096
"""So that no line of the user's is broken."""


class _Representer(RoundTripRepresenter):
    """Writes null where the library would write nothing."""


_Representer.add_representer(type(None), lambda made, _: made.represent_scalar("tag:yaml.org,2002:null", "null"))


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
        """What stands there.

        Raises:
            UsageError: it cannot be read.
        """
        try:
            return self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot be read ({error.__class__.__name__})", where=self.path, hint="check the file") from None

    def shown(self) -> tuple[str, str]:
        """The text, its secrets masked, and the tag of what stands there."""
        load_config(self.path)  # from then on its secrets are known, and masked
        text = self.text()
        return mask_credentials(text), tag_of(text)

    def check(self, text: str) -> Config:
        """What a text would come to.

        Raises:
            ConfigError: it is wrong, with a line for each fault.
        """
        if SHOWN in text:
            hint = "write ${NAME} there, and the secret into a file NAME in secrets/ beside the configuration"
            raise ConfigError(f"{SHOWN} stands where a secret was masked", where=self.path, hint=hint)
        return parse_config(text, self.path)

    def replace(self, text: str, expected_tag: str | None = None) -> str:
        """Put another text in its place; its tag.

        Raises:
            ConfigError: it is wrong; FileChanged: the file is another by now; UsageError: it cannot be written.
        """
        with self._editing:
            self._require(expected_tag)
            self.check(text)
            write_atomically(self.path, text)
            return tag_of(text)

    def change_camera(self, camera: str, patch: Mapping[str, Any], expected_tag: str | None = None) -> str:
        """Set keys of a camera, a new one too; None takes a key away. The tag of the new text.

        Raises:
            as ``replace``.
        """

        def change(document: CommentedMap) -> None:
            cameras = document.setdefault("cameras", CommentedMap())
            merge(cameras.setdefault(camera, CommentedMap()), patch)

        return self._edit(change, camera, expected_tag)

    def remove_camera(self, camera: str) -> str:
        """Take a camera out; the tag of the new text. Raises as ``replace``."""
        return self._edit(lambda document: document["cameras"].pop(camera, None), camera)

    def keep_secret(self, name: str, value: str) -> str:
        """Keep a secret in a file that only its owner reads; how it is written in the configuration.

        Raises:
            UsageError: it cannot be written.
        """
        folder, name = secrets_folder(self.path), _NOT_IN_A_NAME.sub("_", name).upper()
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            path = folder / name
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        except OSError as error:
            raise UsageError(f"cannot be written ({error.strerror})", where=folder, hint="check the folder") from None
        remember(value)
        write_atomically(path, value)
        path.chmod(0o600)
        return f"${{{name}}}"

    def _edit(self, change: Callable[[CommentedMap], object], camera: str, expected_tag: str | None = None) -> str:
        with self._editing:
            self._require(expected_tag)
            before = self.text()
            text = edited(before, change)
            others = (_without(parse_config(each, self.path), camera) for each in (before, text))
            if next(others) != next(others):
                raise ConfigError("the file says more than can be kept", where=self.path, hint=f"change {camera} in it by hand")
            write_atomically(self.path, text)
            return tag_of(text)

    def _require(self, expected_tag: str | None) -> None:
        if expected_tag is not None and tag_of(self.text()) != expected_tag:
            raise FileChanged("it was changed meanwhile", where=self.path, hint="read it again")


def _without(config: Config, camera: str) -> Config:
    return config.model_copy(update={"cameras": {name: of for name, of in config.cameras.items() if name != camera}})


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
    return out.getvalue()


def merge(known: CommentedMap, patch: Mapping[str, Any]) -> None:
    """A JSON merge patch (RFC 7396): mappings are merged, None takes a key away, all else replaces what is there."""
    for key, value in patch.items():
        if value is None:
            known.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(known.get(key), CommentedMap):
            merge(known[key], value)
        else:
            known[key] = _written(value)


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
