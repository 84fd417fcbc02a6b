"""Where configuration and caches are by default on this system.

Owns: those paths, and what `~` and relative paths in settings mean.  Must not know: settings other than SCCACHE_CONF.
"""

import os
import sys
from collections.abc import Mapping


def home_dir(env: Mapping[str, str]) -> str:
    """The user's home: HOME, else what the system's user database says, else the directory of temporary files."""
    home = env.get("USERPROFILE" if os.name == "nt" else "HOME")
    if home and os.path.isabs(home):
        return home
    found = os.path.expanduser("~") if os.name == "nt" else _home_from_database()
    return found if os.path.isabs(found) else f"/tmp/sccache-{os.getuid()}/home"  # noqa: S108 -- the runtime directory, which is checked


def _home_from_database() -> str:
    import pwd  # POSIX only, and rarely needed

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""  # a container's arbitrary user


def expand(path: str, base_dir: str, env: Mapping[str, str]) -> str:
    """`~` is home; what is relative starts at `base_dir`; nothing else is changed."""
    if path == "~" or path.startswith("~/"):
        path = home_dir(env) + path[1:]
    return os.path.join(base_dir, path)


def config_file(env: Mapping[str, str], base_dir: str) -> str:
    """SCCACHE_CONF if set; else the first of the default places that exists, or the first."""
    named = env.get("SCCACHE_CONF")
    if named:
        return expand(named, base_dir, env)
    return _first_existing(env, "config")


def cached_config_file(env: Mapping[str, str]) -> str:
    """Where tokens are kept by default."""
    return _first_existing(env, "cached-config")


def default_cache_dir(env: Mapping[str, str]) -> str:
    """Where the disk cache is if no setting says otherwise."""
    home = home_dir(env)
    if sys.platform == "darwin":
        return f"{home}/Library/Caches/Mozilla.sccache"
    if os.name == "nt":
        local = env.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local")
        return os.path.join(local, "Mozilla", "sccache", "cache")
    return os.path.join(_xdg(env, "XDG_CACHE_HOME", f"{home}/.cache"), "sccache")


def _first_existing(env: Mapping[str, str], leaf: str) -> str:
    places = [os.path.join(place, leaf) for place in _config_dirs(env)]
    for place in places[1:]:
        if os.path.exists(place) and not os.path.exists(places[0]):
            return place
    return places[0]


def _config_dirs(env: Mapping[str, str]) -> tuple[str, ...]:
    home = home_dir(env)
    if sys.platform == "darwin":
        return f"{home}/Library/Application Support/Mozilla.sccache", f"{home}/Library/Preferences/Mozilla.sccache"
    if os.name == "nt":
        roaming = env.get("APPDATA") or os.path.join(home, "AppData", "Roaming")
        return (os.path.join(roaming, "Mozilla", "sccache", "config"),)
    return (os.path.join(_xdg(env, "XDG_CONFIG_HOME", f"{home}/.config"), "sccache"),)


def _xdg(env: Mapping[str, str], name: str, default: str) -> str:
    """The XDG specification has relative values ignored."""
    value = env.get(name)
    return value if value and os.path.isabs(value) else default
