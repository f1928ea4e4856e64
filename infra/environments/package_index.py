"""Where packages come from: the index that the operator of this machine has chosen, in uv's words.

uv reads its own settings. Where there are none, pip's hold: a plant with a mirror has usually told pip.
A model has no say in it, so a package of the plant's own can never be replaced by one of the same name.
"""

from __future__ import annotations

import configparser
from collections.abc import Iterable, Mapping
from pathlib import Path

_UV_CHOICES = frozenset(
    {"UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"}
    | {"UV_NO_INDEX", "UV_FIND_LINKS", "UV_CONFIG_FILE"}
)

#: pip's names of the settings, and uv's.
_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "no-index": "UV_NO_INDEX",
    "cert": "SSL_CERT_FILE",
}


def index_settings(environ: Mapping[str, str], pip: Iterable[str], *, uv_file: bool) -> dict[str, str]:
    """Variables for uv that say what pip was told, or none where uv was told something itself.

    Args:
        environ: this process's environment.
        pip: contents of pip's configuration files, the weakest first.
        uv_file: whether uv has a configuration file of its own.
    """
    if uv_file or any(environ.get(name) for name in _UV_CHOICES):
        return {}
    told = _told(pip)
    for name in (*_NAMES, "find-links"):
        value = environ.get("PIP_" + name.upper().replace("-", "_"))
        if value:
            told[name] = value
    settings = {_NAMES[name]: " ".join(value.split()) for name, value in told.items() if name in _NAMES}
    # pip passes over folders that are not there; uv does not.
    places = [place for place in told.get("find-links", "").split() if "://" in place or Path(place).is_dir()]
    if places:
        settings["UV_FIND_LINKS"] = ",".join(places)
    if "SSL_CERT_FILE" in environ:
        settings.pop("SSL_CERT_FILE", None)
    return settings


def operator_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """As `index_settings`, with the configuration files of this machine."""
    home = Path(environ.get("HOME") or Path.home())
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = [Path("/etc/pip.conf"), home / ".pip" / "pip.conf", config / "pip" / "pip.conf"]
    if environ.get("PIP_CONFIG_FILE"):
        files.append(Path(environ["PIP_CONFIG_FILE"]))
    uv_file = any(path.is_file() for path in (Path("/etc/uv/uv.toml"), config / "uv" / "uv.toml"))
    return index_settings(environ, [_text(path) for path in files if path.is_file()], uv_file=uv_file)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def _told(pip: Iterable[str]) -> dict[str, str]:
    told: dict[str, str] = {}
    for text in pip:
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read_string(text)
        except configparser.Error:
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                told.update(parser.items(section))
    return told
