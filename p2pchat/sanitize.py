"""Make text from outside harmless for a terminal, a pipe and a log.

A terminal obeys what is printed on it: ESC and the 8-bit C1 codes start commands (clear the screen, set the title,
write the clipboard), bidi overrides show text in another order than it is stored, tag characters hide text altogether.
So every string a person reads passes through here, into pipes too: what is piped today is shown by a pager tomorrow.

What stays: newline and tab (where lines are allowed: a Makefile is not one without its tabs), ZWNJ and ZWJ (Persian and
emoji need them), the marks LRM, RLM and ALM, and right-to-left text itself. Machine output (`--json`) is never cleaned,
it is escaped (`escape_json`), so that it stays exact.
"""

from __future__ import annotations

import re

# Compiled when they are first needed, and kept by `re`: every start would pay for it, and most texts need none of them.

# C0 but newline, DEL, C1, and lone surrogates (from undecodable arguments or file names).
_CONTROL = "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]"
# Bidi embeddings and overrides, isolates, tag characters: invisible, and they only ever deceive here.
_INVISIBLE = "[\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
# More marks on one letter than any script uses paint over the lines above and below ("zalgo").
_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed"
    "\u0730-\u074a\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f\U000e0100-\U000e01ef"
)
_MARK_FLOOD = f"([{_MARKS}]{{4}})[{_MARKS}]+"
_LINE_BREAKS = "\n+|\t"
# Where a terminal shows nothing, a pager or an editor may begin a new line: one that could pass for ours.
_SEPARATORS = "[\u2028\u2029]"
_REPLACEMENT = "\ufffd"

# In JSON these are written as \uXXXX: the text stays exact and the terminal stays safe. (The encoder escapes C0.)
_JSON_RISKY = "[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]"


def harmless(text: str) -> bool:
    """Return whether nothing need be done, checked quickly: most texts are plain ASCII on one line."""
    return text.isascii() and text.isprintable()


def clean(text: str) -> str:
    """Return `text` without anything that a terminal would obey or hide; newlines and tabs stay."""
    if harmless(text):
        return text
    text = re.sub(_CONTROL, _REPLACEMENT, text.replace("\r\n", "\n"))
    if text.isascii():
        return text
    text = re.sub(_SEPARATORS, "\n", re.sub(_INVISIBLE, "", text))
    return re.sub(_MARK_FLOOD, r"\1", text)


def clean_line(text: str) -> str:
    """Return `clean(text)` on one line: for names, errors, log lines and table cells."""
    return text if harmless(text) else re.sub(_LINE_BREAKS, " ", clean(text))


def escape_json(encoded: str) -> str:
    """Return encoded JSON with risky characters as escapes; it decodes to the same value."""
    if encoded.isascii() and "\x7f" not in encoded:
        return encoded
    return re.sub(_JSON_RISKY, _escape, encoded)


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
