"""Text folding: one spelling for words that people spell in several ways. It is applied to texts before indexing, and
to queries.

The tokenizer of FTS5 removes Latin accents by itself; the rest is here. Any change needs a migration that builds the
index again, because a row can only be removed with the very text with which it was added.
"""

# ruff: noqa: RUF001, RUF002 - letters that look alike are what this file is about

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_SAME = str.maketrans(
    {
        "ё": "е",
        "ي": "ی",  # Arabic yeh -> Persian yeh
        "ى": "ی",  # alef maksura
        "ك": "ک",  # Arabic kaf -> Persian keheh
        "ۀ": "ه",  # heh with yeh above
        "ة": "ه",  # teh marbuta
        "أ": "ا",
        "إ": "ا",
        "آ": "ا",
        # Removed: joiners and marks that people may write or omit.
        "\u200c": None,  # zero-width non-joiner
        "\u200d": None,  # zero-width joiner
        "\u00ad": None,  # soft hyphen
        "\u0640": None,  # tatweel
        "\u0670": None,  # superscript alef
        **{chr(mark): None for mark in range(0x064B, 0x0660)},  # Arabic vowel marks
        "\0": " ",  # would end a query early
        "\uefff": " ",  # the prefix of the words that describe a message
    }
)
# Scripts written without spaces: Thai and Lao, kana, Han, half-width kana.
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])"
)


def fold(text: str) -> str:
    """Return a text in NFKC and casefolded, with ё as е, Arabic ye and kaf as the Persian ones, and without joiners and
    vowel marks.
    """
    if text.isascii():
        return text.lower().replace("\0", " ")
    text = text.encode("utf-8", "ignore").decode("utf-8")  # JSON can contain half of a surrogate pair
    # Casefolding can undo a composition ("İ"), hence the second normalisation.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold().translate(_SAME))


def indexed(text: str) -> str:
    """Return the text for the search index: folded, and with each letter of a script without spaces as a separate word.

    So 本語 is found inside 日本語, as a phrase.
    """
    return _spaced(fold(text))


def quoted(folded: str) -> str:
    """Return the words of a folded text as a phrase of an FTS5 query: nothing in it is syntax."""
    return '"' + _spaced(folded).replace('"', " ") + '"'


def _spaced(folded: str) -> str:
    return folded if folded.isascii() else _UNSPACED.sub(r" \1 ", folded)


@lru_cache(maxsize=4096)
def is_letter(char: str) -> bool:
    """Return whether the index treats a character as a part of a word: letters, numbers, marks, private use."""
    category = unicodedata.category(char)
    return category[0] in "LNM" or category == "Co"


def is_unspaced(char: str) -> bool:
    """Return whether a letter is a separate word, because its script is written without spaces."""
    return _UNSPACED.match(char) is not None
