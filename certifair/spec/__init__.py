"""The words that all parts share. Standard library only."""
