"""Make one Config from the environment, the configuration file and the defaults, field by field in that order.

Owns: merging, the wording of errors.  This is the only module that reads
os.environ (`environment`); everything else is pure in the mapping that it is given, apart from reading the one file.
Must not know: who uses a setting.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from sccache.config.locations import cached_config_file, config_file, default_cache_dir, expand
from sccache.config.schema import SETTINGS, Config, DiskConfig, PreprocessorConfig, RemoteConfig
from sccache.config.setting import Setting
from sccache.config.storage_rows import AMBIENT, BACKENDS, BUCKET_NEEDED, MAY_NOT_BE_BOTH, NEED_A_BUCKET
from sccache.errors import ConfigError

__all__ = ["BY_ENV", "BY_NAME", "ENV_PREFIX", "Config", "DiskConfig", "PreprocessorConfig", "RemoteConfig", "environment", "load"]

ENV_PREFIX = "SCCACHE_"
LENIENT_TABLE = "cache.multilevel"  # the one table in which sccache takes unknown fields


class _Found(Struct):
    """Values found so far, by the key of their setting."""

    values: dict[str, object] = msgspec.field(default_factory=dict)
    tables: set[str] = msgspec.field(default_factory=set)
    """Dotted names of the tables that the file has or a variable selects."""
    warnings: list[str] = msgspec.field(default_factory=list)


def _key(setting: Setting) -> str:
    return setting.name or setting.env


def _by_name() -> dict[str, Setting]:
    names: dict[str, Setting] = {}
    for setting in SETTINGS:
        table = setting.name.rpartition(".")[0]
        for name in (setting.name, *(f"{table}.{alias}" for alias in setting.aliases if alias.islower())):
            if name in names:
                raise AssertionError(f"two settings are called {name}")
            if name:
                names[name] = setting
    return names


def _by_env() -> dict[str, Setting]:
    names: dict[str, Setting] = {}
    for setting in SETTINGS:
        for name in (setting.env, *(alias for alias in setting.aliases if alias.isupper())):
            if name in names:
                raise AssertionError(f"two settings are called {name}")
            if name:
                names[name] = setting
    return names


def _tables() -> frozenset[str]:
    tables: set[str] = set()
    for name in BY_NAME:
        while name := name.rpartition(".")[0]:
            tables.add(name)
    return frozenset(tables)


BY_NAME = _by_name()
BY_ENV = _by_env()
TABLES = _tables()


def environment() -> dict[str, str]:
    """This process's environment."""
    return dict(os.environ)


def load(env: Mapping[str, str], base_dir: str | None = None, *, strict: bool = True) -> Config:
    """All settings as `env` gives them; relative paths in variables start at `base_dir`, by default the working directory.

    Raises ConfigError, in one sentence that names the setting, where it comes from and its value.  Unless `strict`, a bad
    variable is only a warning, and counts as not set.
    """
    if base_dir is None:
        base_dir = os.getcwd()
    found = _Found()
    conf = config_file(env, base_dir)
    _read_file(conf, env, found)
    _read_environment(env, base_dir, found, strict=strict)
    for sentence in _contradictions(env, found):
        if strict:
            raise ConfigError(sentence)
        found.warnings.append(sentence)
    nested = _nested(found)
    disk = nested["disk"]
    disk["dir"] = disk["dir"] or default_cache_dir(env)
    nested["disk_is_configured"] = any(key.startswith("cache.disk.") for key in found.values) or "cache.disk" in found.tables
    nested["remotes"] = tuple(_remotes(found, env))
    nested["conf"] = conf
    nested["cached_conf"] = nested["cached_conf"] or cached_config_file(env)
    nested["warnings"] = tuple(found.warnings)
    return msgspec.convert(nested, Config)


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _read_file(path: str, env: Mapping[str, str], found: _Found) -> None:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return  # having no configuration file is the normal case
    try:
        text = data.decode()
    except UnicodeDecodeError:
        found.warnings.append(f"The configuration file {path} is not UTF-8 text and was passed over.")
        return
    _walk(path, "", _document(path, text), found)
    for key, value in found.values.items():
        if BY_NAME[key].kind.name == "path" and isinstance(value, str):
            found.values[key] = expand(value, os.path.dirname(path), env)


def _document(path: str, text: str) -> dict[str, object]:
    try:
        if path.lower().endswith(".json"):
            return msgspec.json.decode(text, type=dict[str, object])
        import tomllib  # 10 ms that only those with a file pay

        return tomllib.loads(text)
    except ValueError as e:  # also msgspec's and tomllib's errors
        form = "json" if path.lower().endswith(".json") else "toml"
        raise ConfigError(f"Failed to load {form} config file from {path}: {e}") from e


def _walk(path: str, table: str, content: Mapping[str, object], found: _Found) -> None:
    found.tables.add(table)
    for field, value in content.items():
        name = f"{table}.{field}" if table else field
        setting = BY_NAME.get(name)
        if value is None:
            continue  # JSON's way to say that a field is not set
        if setting is not None:
            _take_from_file(path, setting, value, found)
        elif name in TABLES and isinstance(value, dict):
            _walk(path, name, value, found)
        elif name in TABLES:
            raise ConfigError(f"Failed to load config file {path}: {name} must be a table")
        elif table != LENIENT_TABLE:
            where = f"in table [{table}]" if table else "at the top level"
            raise ConfigError(f"Failed to load config file {path}: unknown field `{field}` {where}")


def _take_from_file(path: str, setting: Setting, value: object, found: _Found) -> None:
    try:
        found.values[_key(setting)] = setting.kind.from_file(value)
    except ValueError as e:
        reason = "value is invalid" if setting.secret else e
        raise ConfigError(f"Failed to load config file {path}: {setting.name} {reason}") from None


# ── the environment ──────────────────────────────────────────────────────────────────────────────────────────────────


def _read_environment(env: Mapping[str, str], base_dir: str, found: _Found, *, strict: bool) -> None:
    for name in env:
        if name.startswith(ENV_PREFIX) and (setting := BY_ENV.get(name)) is not None:
            try:
                _take_from_environment(env, name, setting, base_dir, found)
            except ValueError as e:
                sentence = f"{name} value is invalid" if setting.secret else f"{name} {e}"
                if strict and not setting.lenient:
                    raise ConfigError(sentence) from None
                found.warnings.append(f"{sentence.removesuffix('.')}; it was passed over.")


def _take_from_environment(env: Mapping[str, str], name: str, setting: Setting, base_dir: str, found: _Found) -> None:
    text = env[name]
    if not text and not setting.kind.empty_is_set:
        return
    if name != setting.env and env.get(setting.env):
        return  # the current name of a variable wins over an older one
    value = setting.kind.from_text(text)
    if setting.kind.name == "path" and isinstance(value, str) and value:
        value = expand(value, base_dir, env)
    found.values[_key(setting)] = value
    if setting.selects and value is not False:
        found.tables.add(setting.name.rpartition(".")[0])


def _contradictions(env: Mapping[str, str], found: _Found) -> Iterator[str]:
    """Sentences about variables that make no sense together; the first of a pair's names in its row counts."""
    yield from (sentence for one, other, sentence in MAY_NOT_BE_BOTH if env.get(one) and env.get(other))
    if any(env.get(name) for name in NEED_A_BUCKET) and "cache.gcs" not in found.tables:
        yield BUCKET_NEEDED


# ── the result ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _nested(found: _Found) -> dict[str, Any]:
    """Values of the settings that are fields of Config, as nested dicts."""
    nested: dict[str, Any] = {}
    for setting in SETTINGS:
        if not setting.field:
            continue
        *tables, field = setting.field.split(".")
        target = nested
        for table in tables:
            target = target.setdefault(table, {})
        target[field] = found.values.get(_key(setting), setting.default)
    return nested


def _remotes(found: _Found, env: Mapping[str, str]) -> Iterator[RemoteConfig]:
    for backend in BACKENDS:
        table = f"cache.{backend}"
        if table not in found.tables:
            continue
        settings: dict[str, object] = {}
        for setting in SETTINGS:
            if not setting.name.startswith(f"{table}.") or setting.ignored:
                continue
            if setting.required and setting.name not in found.values:
                raise ConfigError(f"Failed to load config file: {table} is configured, but {setting.name} is missing")
            settings[setting.name.rpartition(".")[2]] = found.values.get(setting.name, setting.default)
        prefixes = AMBIENT.get(backend, ())
        ambient = {name: env[name] for name in sorted(env) if prefixes and name.startswith(prefixes)}
        yield RemoteConfig(backend, settings, ambient)
