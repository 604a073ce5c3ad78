"""Plain orders: say this, count to that, translate this."""

from __future__ import annotations

import re

from tests.gateway.brain.words import fold, is_vietnamese, sentences

_EXACTLY = re.compile(
    r"\b(?:reply|respond|answer)\s+(?:only\s+)?with\s+(?:exactly|only|just|the\s+words?)"
    r"\s*:?\s*(.+)",
    re.IGNORECASE | re.DOTALL,
)
_SAY = re.compile(
    r"\W*(?:(?:please|just|now|can you|could you|hãy)\s+)*"
    r"(?:say|repeat|echo|output|print|nhắc lại|nói(?=\s*[:\"'“])|trả lời đúng(?: câu)?)\b"
    r"(?:\s+(?:exactly|only|after me|the words?|back|this))*\s*:?\s*(.+)",
    re.IGNORECASE | re.DOTALL,
)
_COUNT = re.compile(r"\b(?:count|dem)\b.*?(?:from|tu)?\s*(\d+)\s*(?:to|up to|den)\s*(\d+)")
_COUNT_TO = re.compile(r"\b(?:count|dem)\b\s*(?:up\s*)?(?:to|den)\s*(\d+)")
_TRANSLATE = re.compile(
    r"translat\w*\b.*?\b(?:in)?to (english|french|vietnamese|spanish|german|japanese)"
    r"|dich\b.*?\bsang tieng (anh|phap|viet|tay ban nha|duc|nhat)",
    re.DOTALL,
)
_LANGUAGES = {
    "anh": "english",
    "phap": "french",
    "viet": "vietnamese",
    "tay ban nha": "spanish",
    "duc": "german",
    "nhat": "japanese",
}
_ORDER = ("english", "french", "vietnamese", "spanish", "german", "japanese")
_PHRASES = (
    ("hello", "bonjour", "xin chào", "hola", "hallo", "こんにちは"),
    ("hi", "salut", "chào", "hola", "hallo", "やあ"),
    ("goodbye", "au revoir", "tạm biệt", "adiós", "auf Wiedersehen", "さようなら"),
    ("thank you", "merci", "cảm ơn", "gracias", "danke", "ありがとう"),
    ("good morning", "bonjour", "chào buổi sáng", "buenos días", "guten Morgen", "おはよう"),
    (
        "I love programming",
        "J'adore la programmation",
        "Tôi yêu lập trình",
        "Me encanta programar",
        "Ich liebe Programmieren",
        "私はプログラミングが大好きです",
    ),
    ("I love you", "je t'aime", "tôi yêu bạn", "te quiero", "ich liebe dich", "愛しています"),
    ("cat", "chat", "con mèo", "gato", "Katze", "猫"),
    ("dog", "chien", "con chó", "perro", "Hund", "犬"),
    ("water", "eau", "nước", "agua", "Wasser", "水"),
    ("book", "livre", "quyển sách", "libro", "Buch", "本"),
    ("house", "maison", "ngôi nhà", "casa", "Haus", "家"),
    ("world", "monde", "thế giới", "mundo", "Welt", "世界"),
)
_SUMMARISE = re.compile(r"^\W*(?:please )?(?:summari[sz]e|tom tat)\b")


def obey(question: str, system: str) -> str | None:
    """Do what a plain order says, or return nothing when there is none."""
    folded = fold(question)
    translated = _translate(question, system)
    if translated is not None:
        return translated
    match = _SAY.match(question) or _EXACTLY.search(question)
    if match:
        return _said(match[1])
    counted = _COUNT.search(folded)
    if counted:
        return _count(int(counted[1]), int(counted[2]))
    counted = _COUNT_TO.search(folded)
    if counted:
        return _count(1, int(counted[1]))
    if _SUMMARISE.search(folded):
        return summarise(question.split(":", 1)[-1])
    return None


def summarise(text: str) -> str:
    """Return the first two sentences of a text."""
    return " ".join(sentences(text)[:2])


def _said(text: str) -> str:
    """Return what shall be said, without the quotes around it."""
    text = text.strip()
    quoted = re.match(r"""(["'`“])(.+?)["'`”]""", text, re.DOTALL)
    if quoted:
        return quoted[2]
    text = re.split(r"\s+(?:and nothing (?:else|more)|in your answer)\b", text)[0]
    return text.rstrip() if "\n" in text else text.rstrip(" .")


def _count(first: int, last: int) -> str:
    """Return the numbers from the first to the last."""
    step = 1 if last >= first else -1
    last = max(min(last, first + 999), first - 999)
    return ", ".join(str(number) for number in range(first, last + step, step))


def _translate(question: str, system: str) -> str | None:
    """Translate the few phrases that are known."""
    match = _TRANSLATE.search(fold(question))
    asked = _source(question) if match else question
    match = match or _TRANSLATE.search(fold(system))
    if match is None:
        return None
    language = match[1] or _LANGUAGES[match[2]]
    key = fold(asked).strip(" .!?\"'")
    for phrase in _PHRASES:
        if key in map(fold, phrase):
            ending = asked.strip(" \"'")[-1:] if asked.strip(" \"'")[-1:] in ".!?" else ""
            return phrase[_ORDER.index(language)] + ending
    name = language.capitalize()
    if is_vietnamese(question):
        return f"Tôi không biết cách dịch câu này: {asked.strip()}"
    return f"I do not know the {name} for: {asked.strip()}"


def _source(question: str) -> str:
    """Return the text that shall be translated."""
    quoted = re.search(r"""["“'\u2018](.+)["”'\u2019]""", question)
    if quoted:
        return quoted[1]
    if ":" in question:
        return question.split(":", 1)[1]
    between = re.search(
        r"(?:translate|dịch)\s+(?:the (?:sentence|word|phrase)\s+|câu\s+|từ\s+)?(.+?)"
        r"\s+(?:(?:from \w+ )?(?:in)?to \w+|sang tiếng .+)\W*$",
        question,
        re.IGNORECASE,
    )
    return between[1] if between else question
