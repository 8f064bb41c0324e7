"""Makes text from outside (proxies, registries, clients) safe to print on a terminal and in a log.

An escape sequence in a node id would move the cursor, recolour or rewrite what an operator reads; a line
break would forge a log line; a bidirectional control character would reverse a name.
"""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    r"""`text` with what is not printable (str.isprintable: controls, formats, separators other than the
    space, surrogates, what is not assigned) as `\x1b`, `\u202e` or `\U000e0001`.

    keep: characters that stay, such as a line break.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else _escaped(one) for one in text)


def _escaped(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
