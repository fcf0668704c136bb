"""Exact and outward-rounded arithmetic: the only place where a number becomes a proven statement.

Nothing is imported here, so that `certifair.exact.decimals` stays cheap (the command line needs it at start).
"""
