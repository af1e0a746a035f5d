"""The emulator tests' door, for contract tests as well."""

from __future__ import annotations

from tests.emulator.conftest import serve

__all__ = ["serve"]
