"""The words that all parts share. Standard library only."""

from typing import Any

Json = dict[str, Any]
"""An object of a certificate, a bundle, or a witness, as JSON has it."""
