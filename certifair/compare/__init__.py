"""Methods beside each other: the same questions, checked answers."""
