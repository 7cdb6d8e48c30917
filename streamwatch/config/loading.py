"""Reading a configuration file: YAML with line numbers, ``${NAME}`` secrets, and errors a person can act on."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from streamwatch.config.schema import Config
from streamwatch.errors import ConfigError
from streamwatch.masking import IN_USER_INFO, looks_like_credentials, mask_url, remember
from streamwatch.retry import caught

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
KeyPath = tuple[str | int, ...]
MAX_BYTES = 4_000_000
"""Of a file: 1,000 cameras with ten zones each are a tenth of it."""
MAX_DEPTH = 32
"""The deepest key is six levels down."""
MAX_VALUES = 1_000_000
"""Aliases of aliases make a small file as large as one likes."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """Where ``${NAME}`` is looked up: the environment first, then a file of that name in a folder."""

    environment: Mapping[str, str]
    folders: tuple[Path, ...]

    @classmethod
    def beside(cls, config_path: Path) -> Secrets:
        """The process's environment, $CREDENTIALS_DIRECTORY, /run/secrets, and ``secrets/`` beside the configuration."""
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        folders = (Path(credentials),) if credentials else ()
        return cls(os.environ, (*folders, Path("/run/secrets"), secrets_folder(config_path)))

    def get(self, name: str) -> str | None:
        """The value of ``name``, or None if it is nowhere.

        Raises:
            ValueError: its file cannot be read as text.
        """
        if name in self.environment:
            return self.environment[name]
        for folder in self.folders:
            if (folder / name).is_file():
                secret = _text_of(folder / name)
                remember(secret)  # whatever it is used for; the environment has much that is none
                return secret
        return None


def secrets_folder(config_path: Path) -> Path:
    """Where secrets are that were given on the page."""
    return config_path.parent / "secrets"


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from None


_SECRET_KEY = re.compile(r"(?i)secret|pass|pwd|token|key|auth|cred|login")
"""Keys whose values are never shown, whether they are known here or misspelt."""


@dataclass
class _Document:
    """A parsed file: its data, and for every key path the line and the text as written."""

    path: Path
    lines: dict[KeyPath, int] = field(default_factory=dict)
    written: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    values: int = 0

    def count(self, at: KeyPath) -> None:
        """Take one more value.

        Raises:
            ConfigError: there are too many, or they lie too deep.
        """
        self.values += 1
        if len(at) > MAX_DEPTH or self.values > MAX_VALUES:
            what = "nested too deeply" if len(at) > MAX_DEPTH else "its aliases come to too many values"
            raise ConfigError(what, where=f"{self.path}:{self.line(at)}")

    def problem(self, at: KeyPath, rule: str) -> None:
        """Note a fault: file, line, key path, value as written (never a secret's value), and rule."""
        secret = any(isinstance(part, str) and _SECRET_KEY.search(part) for part in at)
        shown = f" = {mask_url(self.written[at])!r}" if at in self.written and not secret else ""
        self.problems.append(f"{self.path}:{self.line(at)}: {_dotted(at)}{shown}: {rule}")

    def line(self, at: KeyPath) -> int:
        """The line of a key path, or of the nearest key around it."""
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at, 1)


def load_config(path: Path, secrets: Secrets | None = None) -> Config:
    """Read and check a configuration file.

    Relative ``data_dir`` is taken from the current folder, as in docs/decisions/0006-configuration.md.

    Raises:
        ConfigError: with one line per fault in ``problems``.
    """
    return parse_config(_text_at(path), path, secrets)


def parse_config(text: str, path: Path, secrets: Secrets | None = None) -> Config:
    """The same of a text that stands, or is to stand, at ``path``; raises as ``load_config``."""
    document = _Document(path)
    data = _data_of(_parse(text, path), (), document, secrets or Secrets.beside(path))
    if not document.problems:
        try:
            config = Config.model_validate(data)
        except ValidationError as error:
            rules: dict[KeyPath, list[str]] = {}
            for detail in error.errors(include_url=False, include_input=False):
                at, rule = _explain(detail, document)
                rules.setdefault(at, []).append(rule)
            for at, alternatives in rules.items():  # a union gives one rule per branch
                document.problem(at, ", or ".join(dict.fromkeys(alternatives)))
        else:
            remember_secrets(config)
            return config
    unique = tuple(dict.fromkeys(document.problems))
    more = f" (and {len(unique) - 1} more; see `streamwatch check {path}`)" if len(unique) > 1 else ""
    raise ConfigError(unique[0] + more, problems=unique)


def _text_at(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"is larger than {MAX_BYTES // 10**6} MB, and so no configuration", where=path)
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError("no such configuration file", where=path, hint="see configs/example.yaml") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read ({error.__class__.__name__})", where=path) from error


def _parse(text: str, path: Path) -> yaml.Node:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"not valid YAML: {getattr(error, 'problem', None) or 'syntax error'}", where=where) from None
    except RecursionError:
        raise ConfigError("nested too deeply", where=path) from None
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError("must be a mapping of keys to values", where=f"{path}:1", hint="see configs/example.yaml")
    return node


def _data_of(node: yaml.Node, at: KeyPath, document: _Document, secrets: Secrets) -> Any:
    document.lines.setdefault(at, node.start_mark.line + 1)
    document.count(at)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, at, document, secrets)
    if isinstance(node, yaml.SequenceNode):
        return [_data_of(child, (*at, i), document, secrets) for i, child in enumerate(node.value)]
    text = str(node.value)
    if unfit := _unfit(text):
        document.problem(at, unfit)
        return None
    document.written[at] = text
    return _scalar(node, at, document, secrets)


def _mapping(node: yaml.MappingNode, at: KeyPath, document: _Document, secrets: Secrets) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            document.lines.setdefault((*at, "?"), key_node.start_mark.line + 1)
            document.problem((*at, "?"), "a key must be a word")
            continue
        key = str(key_node.value)
        document.lines[(*at, key)] = key_node.start_mark.line + 1
        twice = key in data
        data[key] = _data_of(value_node, (*at, key), document, secrets)
        if twice:
            document.problem((*at, key), "the key occurs twice")
    return data


def _scalar(node: yaml.Node, at: KeyPath, document: _Document, secrets: Secrets) -> Any:
    if node.tag != "tag:yaml.org,2002:str":
        return _typed(node, at, document)

    text = str(node.value)

    def value_of(match: re.Match[str]) -> str:
        try:
            value = secrets.get(match[1])
        except ValueError as error:
            document.problem(at, f"${{{match[1]}}}: {error}")
            return ""
        if value is None:
            places = "/run/secrets, $CREDENTIALS_DIRECTORY or secrets/ beside this file"
            document.problem(at, f"${{{match[1]}}} is neither in the environment nor in {places}")
        return _in_place(value or "", text, match)

    return _VARIABLE.sub(value_of, text)


def _in_place(value: str, text: str, match: re.Match[str]) -> str:
    """A variable's value as it stands in a URL: percent-encoded but in the host; elsewhere as it is.

    What needs encoding, stands for a user or a password, or in a query, is a secret from now on: the environment may hold
    anything, and a part of a URL that is written down is no reason to make a variable of it.
    """
    before, after = text[: match.start()], text[match.end() :]
    scheme, _, rest = before.rpartition("://")
    if not scheme:
        return value
    if "?" in rest:
        remember(value)
        return quote(value, safe="")
    if "/" in rest:
        if not re.fullmatch(r"[\w./~-]*", value):
            remember(value)
        return quote(value, safe="/~")
    if re.search(r"^[^/]*@", after) is None:
        return value
    # A variable that is the whole of the user part, as ``user:password``, keeps the colon between them.
    whole = not rest and after.startswith("@")
    user, colon, password = value.partition(":") if whole else (value, "", "")
    remember(password or user)
    return quote(user, safe=IN_USER_INFO) + colon + quote(password, safe=IN_USER_INFO)


def remember_secrets(value: object) -> None:
    """Have every secret of a configuration masked wherever it would be shown from now on."""
    if isinstance(value, SecretStr):
        remember(value.get_secret_value())
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            part = getattr(value, name)
            if name != "source":
                remember_secrets(part)
            elif (source := part.get_secret_value()) and ("://" in source or looks_like_credentials(source)):
                remember(source)  # a path is no secret
    elif isinstance(value, Mapping):
        for part in value.values():
            remember_secrets(part)
    elif isinstance(value, list | tuple):
        for part in value:
            remember_secrets(part)


def _unfit(text: str) -> str | None:
    """Why a text cannot be one of a configuration; None if it can."""
    if "\0" in text:
        return "holds a NUL"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half a character"
    return None


def _typed(node: yaml.Node, at: KeyPath, document: _Document) -> Any:
    """What a value is that is not text: a number, a date, nothing.

    PyYAML's constructors raise whatever their parts do: a date that is none, a number of more digits than Python reads, base64
    that is none, or nothing after a tag.
    """
    found: list[Any] = []
    failure = caught(lambda: found.append(yaml.SafeLoader("").construct_object(node)))
    if failure is None:
        return found[0]
    unknown = isinstance(failure, yaml.YAMLError)
    document.problem(at, f"{node.tag} is not known here" if unknown else f"cannot be read ({failure.__class__.__name__})")
    return None


def _explain(detail: ErrorDetails, document: _Document) -> tuple[KeyPath, str]:
    """Key path and rule of a pydantic error; union branches that pydantic adds to the path are dropped."""
    at = tuple(detail["loc"])
    known = at
    while known and known not in document.lines:
        known = known[:-1]
    rule = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        return at, "unknown key"
    if detail["type"] == "missing":
        return at, "this key is required"
    return known, rule[:1].lower() + rule[1:]


def _dotted(at: KeyPath) -> str:
    text = ""
    for part in at:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".") or "(whole file)"
