"""`python -m certifair`."""

from certifair.cli import entry

entry()
