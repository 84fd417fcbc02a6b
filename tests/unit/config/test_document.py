"""document.py: the page on settings is complete and current."""

from pathlib import Path

import pytest

from sccache.config.document import render
from sccache.config.schema import SETTINGS
from sccache.config.setting import Setting

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def test_current():
    """docs/settings.md is what `python -m sccache.config.document` prints."""
    assert PAGE.read_text() == render()


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name or setting.env)
def test_documented(setting: Setting):
    """Every setting is on the page by field and by variable, and has a sentence."""
    page = render()
    if setting.name:
        assert f"`{setting.name.rpartition('.')[2]}`" in page
    if setting.env:
        assert f"`{setting.env}`" in page
    assert setting.help.endswith(".")
    assert setting.help in page


def test_no_default_secret():
    """No secret has a default."""
    assert not [setting for setting in SETTINGS if setting.secret and setting.default]
