"""docs/settings.md, made from the table: `python -m sccache.config.document > docs/settings.md`.

Owns: how settings are shown to readers.  Must not know: anything that is not in a row.
"""

import sys
from collections.abc import Iterable

from sccache.config.schema import SETTINGS
from sccache.config.setting import Setting
from sccache.util.sizes import human_size

HEAD = """# Settings

<!-- Made from src/sccache/config/schema.py by `python -m sccache.config.document`; do not edit. -->

A setting comes from an environment variable, else from the configuration file, else it has its default. This holds for each
setting by itself: a variable replaces one field of a table and leaves the others as the file has them.

The configuration file is TOML: `~/.config/sccache/config` (`$XDG_CONFIG_HOME/sccache/config`), on macOS
`~/Library/Application Support/Mozilla.sccache/config`, on Windows `%APPDATA%\\Mozilla\\sccache\\config\\config`, or whatever
`SCCACHE_CONF` names; a file whose name ends in `.json` holds the same as JSON. A field that does not exist is an error.

**Values.** A *size* is a number of bytes, or a number and one of `B`, `K`, `M`, `G`, `T` (powers of 1024; quoted in the file).
A *switch* is `true`, `on`, `1`, `false`, `off` or `0` in a variable, `true` or `false` in the file. Variables that are set to
nothing count as not set, except where *set or not* is all that matters. In paths a leading `~` is your home; a relative path in a
variable starts at the directory in which the daemon was started, one in the file at the file's directory.

**When.** The daemon need not be restarted for most changes. A compile brings its own `SCCACHE_*` variables along, and the file is
looked at for each compile. Variables of a daemon that you started yourself (`--start-server`, a service) also hold for compiles that
do not set them; a daemon that a compile started on the way keeps none of that compile's variables for others. A bad variable of
a compile is logged and counts as not set, and a file that has become bad leaves things as they were; commands such as
`sccache --start-server` fail with a sentence that says what is wrong.
"""
TITLES = {
    "": "General", "cache.disk": "Local disk cache", "cache.disk.preprocessor_cache_mode": "Direct mode", "cache.s3": "S3",
    "cache.redis": "Redis", "cache.memcached": "Memcached", "cache.gcs": "Google Cloud Storage", "cache.gha": "GitHub Actions",
    "cache.azure": "Azure Blob Storage", "cache.webdav": "WebDAV", "cache.oss": "Alibaba OSS", "cache.cos": "Tencent COS",
    "cache.remote": "All remote storage", "cache.multilevel": "Several levels", "dist": "Distributed compilation",
}  # fmt: skip
SECONDS_BY = {"seconds": 1, "milliseconds": 1000}
VARIABLES_ONLY = "Variables only"


def render() -> str:
    """The whole page."""
    groups: dict[str, list[Setting]] = {}
    for setting in SETTINGS:
        title = TITLES[setting.name.rpartition(".")[0]] if setting.name else VARIABLES_ONLY
        groups.setdefault(title, []).append(setting)
    order = sorted(groups, key=[TITLES[""], VARIABLES_ONLY, *list(TITLES.values())[1:]].index)
    return HEAD + "".join(_group(title, groups[title]) for title in order)


def _group(title: str, settings: Iterable[Setting]) -> str:
    rows = list(settings)
    table = rows[0].name.rpartition(".")[0]
    lines = ["", f"## {title}", ""]
    if table:
        lines += [f"In the file: `[{table}]`.", ""]
    lines += ["| field | variable | value | default | heeded |", "|---|---|---|---|---|"]
    lines += [_row(setting) for setting in rows]
    lines.append("")
    lines += [f"- {_names(setting)}: {setting.help}{_more(setting)}" for setting in rows]
    return "\n".join(lines) + "\n"


def _row(setting: Setting) -> str:
    field = f"`{setting.name.rpartition('.')[2]}`" if setting.name else ""
    env = f"`{setting.env}`" if setting.env else ""
    return f"| {field} | {env} | {setting.kind.name} | {_default(setting)} | {setting.scope.value} |"


def _names(setting: Setting) -> str:
    field = setting.name.rpartition(".")[2]
    return ", ".join(f"`{name}`" for name in (field, setting.env) if name)


def _more(setting: Setting) -> str:
    more = ""
    if setting.aliases:
        more += f" Also called {', '.join(f'`{alias}`' for alias in setting.aliases)}."
    if setting.required:
        more += " Required."
    if setting.lenient and setting.env:
        more += " A bad value of the variable is passed over with a warning."
    return more


def _default(setting: Setting) -> str:
    value = setting.default
    kind = setting.kind.name
    if kind in ("set or not", "1 or not"):
        return "not set"
    if value is None or value in ("", ()):
        return "none"
    if kind == "size" and isinstance(value, int):
        return " ".join(human_size(value))
    if kind in SECONDS_BY and isinstance(value, float):
        return f"{value * SECONDS_BY[kind]:.0f}"
    if kind == "READ_ONLY or READ_WRITE":
        value = "READ_ONLY" if value else "READ_WRITE"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    sys.stdout.write(render())
