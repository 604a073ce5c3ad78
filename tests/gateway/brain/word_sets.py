"""Sets of words of English and Vietnamese."""

from __future__ import annotations

CAPITALS = "".join(
    chr(code)
    for first, last in ((0x41, 0x5A), (0xC0, 0x24F), (0x1E00, 0x1EFF))
    for code in range(first, last + 1)
    if chr(code).isupper()
)
"""The capital letters of the Latin script, for use inside patterns."""


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text that lists them."""
    return frozenset(text.split())


STOP_WORDS = word_set("""
    a about all explain describe giai thich also am an and any are as at be been being but by
    can could did do does for from get give had has have he her him his how i if in into is it
    its just know let like many may me might more most much my no nor not of on or our out over
    own please shall she should so some such tell than that the their them then there these they
    this those to too up use using very was we were what when where which who whom whose why
    will with would you your ai anh ay bao ban bang boi cac cai cau cho chua chung co con cua
    cung da dang de den di dieu do duoc gi giup hay hoi khi khong la lai lam len may mot nao nay
    neu nhu nhieu nhung nhe o qua ra rang rat roi sao se tai the thi toi tra trong tu va vao ve
    vi voi
""")
ENGLISH = word_set(
    "what is the in of and a to for how who where when does do are with give me use my you an i "
    "tell weather it was by from please"
)
VIETNAMESE = word_set(
    "là và của gì nào không có ở cho tôi bạn xin chào được những các một này về với trong tại "
    "bao nhiêu hãy cảm ơn thế ai đâu khi như hôm nay thời tiết mấy giúp em anh chị"
)
