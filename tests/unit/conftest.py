"""How hypothesis runs here: no example is failed for being slow, because machines are."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("no_deadline")
settings.load_profile("no_deadline")
