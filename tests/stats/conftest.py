"""What the tests of statistics share."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let statsmodels' Holm not collect garbage at every call, which here takes half a second each."""
    monkeypatch.setattr(gc, "collect", lambda *_: 0)
