"""The little that the brain knows by itself."""

from __future__ import annotations

import re

from tests.gateway.brain.words import fold, is_vietnamese

_CAPITALS = {
    "vietnam": ("Vietnam", "Việt Nam", "Hà Nội"),
    "viet nam": ("Vietnam", "Việt Nam", "Hà Nội"),
    "france": ("France", "Pháp", "Paris"),
    "phap": ("France", "Pháp", "Paris"),
    "japan": ("Japan", "Nhật Bản", "Tokyo"),
    "nhat": ("Japan", "Nhật Bản", "Tokyo"),
    "germany": ("Germany", "Đức", "Berlin"),
    "italy": ("Italy", "Ý", "Rome"),
    "spain": ("Spain", "Tây Ban Nha", "Madrid"),
    "thailand": ("Thailand", "Thái Lan", "Bangkok"),
    "thai lan": ("Thailand", "Thái Lan", "Bangkok"),
    "laos": ("Laos", "Lào", "Vientiane"),
    "cambodia": ("Cambodia", "Campuchia", "Phnom Penh"),
    "china": ("China", "Trung Quốc", "Beijing"),
    "trung quoc": ("China", "Trung Quốc", "Bắc Kinh"),
    "korea": ("South Korea", "Hàn Quốc", "Seoul"),
    "han quoc": ("South Korea", "Hàn Quốc", "Seoul"),
    "england": ("England", "Anh", "London"),
    "united kingdom": ("the United Kingdom", "Vương quốc Anh", "London"),
    "united states": ("the United States", "Hoa Kỳ", "Washington, D.C."),
    "usa": ("the United States", "Hoa Kỳ", "Washington, D.C."),
    "canada": ("Canada", "Canada", "Ottawa"),
    "australia": ("Australia", "Úc", "Canberra"),
    "brazil": ("Brazil", "Brazil", "Brasília"),
    "india": ("India", "Ấn Độ", "New Delhi"),
    "indonesia": ("Indonesia", "Indonesia", "Jakarta"),
    "singapore": ("Singapore", "Singapore", "Singapore"),
}
_GREETING = re.compile(r"^\W*(?:hello|hi|hey|good (?:morning|afternoon|evening)|greetings|xin chao|chao)\b")
_WELL_BEING = re.compile(r"\bhow are you\b|\bban (?:co )?khoe khong\b")
_THANKS = re.compile(r"^\W*(?:thanks|thank you|cam on)\b")
_IDENTITY = re.compile(r"\b(?:who|what) are you\b|\bban la ai\b|\byour name\b")
_CREATION = re.compile(r"\b(joke|story|poem|haiku|haikus|song|chuyen cuoi|cau chuyen|bai tho)\b")
_ABOUT = re.compile(r"\b(?:about|về)\s+(?:a |an |the |con |mot )?([^.,;!?\n]+)", re.IGNORECASE)


def recall(question: str) -> str | None:
    """Answer a question from what is known, or return nothing."""
    folded = fold(question)
    vietnamese = is_vietnamese(question)
    if "capital" in folded or "thu do" in folded:
        return _capital(folded, vietnamese=vietnamese)
    if _CREATION.search(folded):
        return _create(folded, subject(question), vietnamese=vietnamese)
    return _small_talk(folded, vietnamese=vietnamese)


def is_small_talk(question: str) -> bool:
    """Tell whether a message is only a greeting or the like."""
    return len(question.split()) <= 8 and _small_talk(fold(question), vietnamese=False) is not None


def subject(question: str) -> str:
    """Return what a joke or a story shall be about."""
    match = _ABOUT.search(question)
    if match is None:
        return "computers"
    text = re.split(r"\s+(?:in|with|and|using|that|which|for)\s+", match[1], maxsplit=1)[0]
    return text.strip(" \"'*`")


def joke(about: str) -> tuple[str, str]:
    """Return the setup and the punchline of a joke."""
    return (
        f"Why did the story about {about} cross the road?",
        f"Because {about} had already told it on this side.",
    )


def _capital(folded: str, *, vietnamese: bool) -> str | None:
    """Return the capital of the country that is named."""
    for key, (english, local, city) in _CAPITALS.items():
        if re.search(rf"\b{key}\b", folded):
            if vietnamese:
                return f"Thủ đô của {local} là {city}."
            return f"The capital of {english} is {city}."
    return None


def _create(folded: str, about: str, *, vietnamese: bool) -> str:
    """Write something short about a subject."""
    if vietnamese:
        return (
            f"Ngày xưa, có một câu chuyện về {about}. Ai nghe cũng mỉm cười, "
            "và từ đó mọi người kể lại câu chuyện ấy cho nhau nghe."
        )
    if "joke" in folded:
        return " ".join(joke(about))
    if "haiku" in folded or "poem" in folded or "song" in folded:
        verses = f"Morning light arrives\n{about} waits beside the stream\nThe day has begun"
        evening = f"Evening wind is still\n{about} sleeps below the moon\nStars are keeping watch"
        return f"{verses}\n\n{evening}" if re.search(r"\b2|two|haikus", folded) else verses
    return (
        f"This is a small story about {about}. Every morning the hero walked to the river and "
        "counted the boats. One day a boat stopped, and the captain asked for directions. "
        "From that day on they were friends."
    )


def _small_talk(folded: str, *, vietnamese: bool) -> str | None:
    """Answer a greeting and the like."""
    if _WELL_BEING.search(folded):
        return (
            "Tôi khỏe, cảm ơn bạn! Tôi có thể giúp gì cho bạn?"
            if vietnamese
            else "I am doing well, thank you! How can I help you?"
        )
    if _IDENTITY.search(folded):
        return "Tôi là trợ lý của TexAPI." if vietnamese else "I am an assistant that answers through TexAPI."
    if _GREETING.search(folded):
        return "Xin chào! Tôi có thể giúp gì cho bạn?" if vietnamese else "Hello! How can I help you today?"
    if _THANKS.search(folded):
        return "Không có gì!" if vietnamese else "You are welcome!"
    return None
