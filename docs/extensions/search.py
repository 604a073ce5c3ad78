"""Search that finds Vietnamese words typed without accents: `ngan sach` finds `ngân sách`."""

from __future__ import annotations

import unicodedata
from typing import Any

from sphinx.search import _MINIFIED_JS_PATH
from sphinx.search.en import SearchEnglish

_STEMMER = """
window.Stemmer = function () {
  const english = new EnglishStemmer();
  this.stemWord = (word) => english.stemWord(
    word.toLowerCase().normalize("NFD").replace(/\\p{M}/gu, "").replace(/\\u0111/g, "d"));
};
"""


def without_accents(word: str) -> str:
    """The word in small letters without accents; đ becomes d. `_STEMMER` does the same in the browser."""
    parts = unicodedata.normalize("NFD", word.lower())
    return "".join(each for each in parts if not unicodedata.category(each).startswith("M")).replace("đ", "d")


class SearchWithoutAccents(SearchEnglish):
    """English stems of words without accents, in the index and in what is searched for."""

    lang = "texapi"
    language_name = "EnglishAndVietnamese"
    js_stemmer_rawcode = ""
    js_stemmer_code = "\n".join(
        [(_MINIFIED_JS_PATH / name).read_text("utf-8") for name in ("base-stemmer.js", "english-stemmer.js")]
        + [_STEMMER]
    )

    def stem(self, word: str) -> str:
        """The stem under which a word is kept."""
        return super().stem(without_accents(word))

    def word_filter(self, word: str) -> bool:
        """Whether a word is in the index: numbers of three digits too, which are statuses such as 429."""
        return super().word_filter(word) or (word.isdigit() and len(word) == 3)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.add_search_language(SearchWithoutAccents)
