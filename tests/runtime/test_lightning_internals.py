"""The version of Lightning whose private state the program reads."""

from __future__ import annotations

import lightning as L
import pytest

from vfi_train.runtime.lightning_internals import check_version


def test_only_an_untried_version_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    check_version()
    check_version("2.6.99")
    assert not caplog.text, f"try Lightning {L.__version__} and add it to TRIED"
    check_version("2.7.0")
    assert "Lightning 2.7.0 was not tried" in caplog.text
    assert "install lightning==2.6.*" in caplog.text
