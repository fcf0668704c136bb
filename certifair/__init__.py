"""certifair: certificates of fairness that a stranger can check."""

__version__ = "0.1.0"
