"""Words of strangers, shown so that they cannot act: no control, direction or invisible character gets through."""

from __future__ import annotations

import re

# Control characters, line separators, bidirectional and zero-width marks, lone surrogates, byte-order mark and the
# noncharacters: what moves a terminal's cursor, starts a line of its own, reorders a line, makes two names look alike,
# or has no place in XML 1.0 (2.2 Char).
UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff0-\uffff]"
)


def printable(text: str, *, keep: str = "") -> str:
    r"""The text with every unprintable character, but those in `keep`, shown as its escape.

    >>> print(printable("two\nlines\x1b[2J"))
    two\nlines\x1b[2J
    """
    return UNPRINTABLE.sub(lambda m: m[0] if m[0] in keep else m[0].encode("unicode_escape").decode("ascii"), text)
