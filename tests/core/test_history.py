"""A history that providers refuse is made one that they take, with nothing lost."""

from __future__ import annotations

import copy
import logging
import re
from typing import Any

import pytest

from texapi_core.request.history import NO_RESULT, mend_history

Message = dict[str, Any]


def calls(*ids_and_names: tuple[Any, str], **more: Any) -> Message:
    wire = [
        {"id": id_, "type": "function", "function": {"name": name, "arguments": "{}"}}
        for id_, name in ids_and_names
    ]
    return {"role": "assistant", "content": None, "tool_calls": wire, **more}


def result(id_: Any, content: Any = "ok", **more: Any) -> Message:
    return {"role": "tool", "content": content, "tool_call_id": id_, **more}


def user(content: Any) -> Message:
    return {"role": "user", "content": content}


def said(content: Any, **more: Any) -> Message:
    return {"role": "assistant", "content": content, **more}


SYSTEM: Message = {"role": "system", "content": "Be brief."}
Q = user("And now?")


def ids(messages: list[Message]) -> list[Any]:
    """The ids: lists for messages with calls, single ids for results."""
    return [
        [call["id"] for call in message["tool_calls"]]
        if "tool_calls" in message
        else message.get("tool_call_id")
        for message in messages
    ]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([calls(("a", "f"), ("b", "g")), result("b"), result("a")], [["a", "b"], "a", "b"]),
        (
            [calls((None, "f"), (None, "f")), result(None), result(None)],
            [["call_0_0", "call_0_1"], "call_0_0", "call_0_1"],
        ),
        ([calls(("", "f"), ("b", "g")), result("b"), result("")], [["call_0_0", "b"], "call_0_0", "b"]),
        (
            [calls((None, "f"), (None, "g")), result("g"), result("f")],
            [["call_0_0", "call_0_1"], "call_0_0", "call_0_1"],
        ),
        ([calls(("f", "f"), ("f", "f")), result("f"), result("f")], [["f", "call_0_1"], "f", "call_0_1"]),
        (
            [calls(("0", "f")), result("0"), calls(("0", "g")), result("0")],
            [["0"], "0", ["call_2_0"], "call_2_0"],
        ),
        ([calls(("call_1_0", "f"), (None, "g"))], [["call_1_0", "call_0_1"], "call_1_0", "call_0_1"]),
        (
            [calls(("call_1_0", "f")), calls((None, "g"))],
            [["call_1_0"], "call_1_0", ["call_1_0_"], "call_1_0_"],
        ),
        ([calls((None, "f")), result("z")], [["call_0_0"], "call_0_0"]),
        ([calls(("a", "f")), result("z")], [["a"], "a", None]),
        ([calls(("a", "f")), result("z", name="f")], [["a"], "a", None]),
        ([result("a")], [None]),
    ],
    ids=[
        "results in the order of their calls",
        "no ids: by order",
        "one id missing",
        "the tool's name as the result's id",
        "the tool's name as every id",
        "every turn numbered from zero",
        "a missing id beside a good one",
        "a made id that is taken",
        "a result that says something else, of the only call",
        "a result of another call is no result",
        "a result of another call is no result, of the same tool too",
        "no call at all",
    ],
)
def test_ids(messages: list[Message], expected: list[Any]) -> None:
    assert ids(mend_history(messages)) == expected


ODD_IDS = ["functions.f:0", "call_a|fc_b", " ", "lần_1", "助手", "x" * 41, "call_1\n", "\udc00"]


@pytest.mark.parametrize("id_", ODD_IDS)
def test_an_illegal_id_becomes_a_legal_one_that_depends_on_nothing_else(id_: str) -> None:
    turn = [calls((id_, "f"), ("a", "f")), result(id_), result("a")]

    alone, later = mend_history(turn), mend_history([Q, said("Hm."), Q, *turn])

    (legal, other), first, second = ids(alone)
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", legal)
    assert (first, other, second) == (legal, "a", "a")
    assert later[3:] == alone
    assert len({ids(mend_history([calls((each, "f"))]))[1] for each in ODD_IDS}) == len(ODD_IDS)


def test_illegal_ids_are_the_same_in_every_process() -> None:
    assert ids(mend_history([calls(("functions.f:0", "f"))]))[1] == "functions_f_0_d6bdd4de"


@pytest.mark.parametrize("id_", [None, "", "x", "x:0"], ids=["none", "empty", "doubled", "doubled, illegal"])
def test_results_of_calls_that_ids_do_not_tell_apart_go_by_name(id_: Any) -> None:
    turn = [calls((id_, "f"), (id_, "g")), result(id_, "of g", name="g"), result(id_, "of f", name="f")]

    assert [message["content"] for message in mend_history(turn)[1:]] == ["of f", "of g"]


@pytest.mark.parametrize("id_", [None, "x"])
def test_a_second_result_of_one_tool_is_not_that_of_another(id_: Any) -> None:
    turn = [calls((id_, "f"), (id_, "g")), result(id_, "one", name="f"), result(id_, "two", name="f")]

    first, second, further = mend_history(turn)[1:]

    assert (first["content"], second["content"]) == ("one", NO_RESULT)
    assert further["role"] == "user"
    assert further["content"].endswith("two")


ORPHAN = "The result of tool call a, which is not here:\nok"
FURTHER = "A further result of tool call a:\nmore"


@pytest.mark.parametrize(
    ("messages", "mended", "kind"),
    [
        ([calls(("a", "f")), Q], [calls(("a", "f")), result("a", NO_RESULT), Q], "call without a result"),
        ([Q, calls(("a", "f"))], [Q, calls(("a", "f")), result("a", NO_RESULT)], "call without a result"),
        (
            [calls(("a", "f"), ("b", "f")), result("b"), Q],
            [calls(("a", "f"), ("b", "f")), result("a", NO_RESULT), result("b"), Q],
            "call without a result",
        ),
        ([SYSTEM, result("a"), Q], [SYSTEM, user(ORPHAN), Q], "result without its call"),
        ([result("a", [{"type": "image_url"}])], None, "result without its call"),
        (
            [calls(("a", "f")), Q, SYSTEM, result("a"), SYSTEM],
            [calls(("a", "f")), result("a"), Q, SYSTEM, SYSTEM],
            "result apart from its call",
        ),
        (
            [calls(("a", "f")), calls(("b", "g")), result("a"), result("b")],
            [calls(("a", "f")), result("a"), calls(("b", "g")), result("b")],
            "result apart from its call",
        ),
        (
            [calls(("a", "f")), Q, said("Hm."), result("a")],
            [calls(("a", "f")), result("a", NO_RESULT), Q, said("Hm."), user(ORPHAN)],
            "result without its call",
        ),
        (
            [calls(("a", "f")), result("a"), result("a", "more")],
            [calls(("a", "f")), result("a"), user(FURTHER)],
            "further result",
        ),
        ([Q, said(""), Q], [Q, Q], "empty answer"),
        ([Q, said(" \n\u3000"), Q], [Q, Q], "empty answer"),
        ([Q, said(None), Q], [Q, Q], "empty answer"),
        ([Q, said([]), Q], [Q, Q], "empty answer"),
        ([Q, said([{"type": "text", "text": " "}], name="agent"), Q], [Q, Q], "empty answer"),
        (
            [said(None, function_call={"name": "f", "arguments": "{}"}), {**result("x"), "role": "function"}],
            None,
            "legacy",
        ),
    ],
)
def test_what_is_mended_and_said(
    messages: list[Message], mended: list[Message] | None, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    given = copy.deepcopy(messages)

    with caplog.at_level(logging.WARNING, "texapi"):
        found = mend_history(messages)

    if mended is not None:
        assert found == mended
    assert messages == given
    (line,) = caplog.messages
    assert kind in line
    caplog.clear()
    assert mend_history(found) == found
    assert caplog.messages == []


@pytest.mark.parametrize(
    "message",
    [
        said("", refusal="No."),
        said("", audio={"id": "a1"}),
        said(None, reasoning_content="Hm."),
        said([{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]),
        said("ệ"),
    ],
)
def test_an_answer_without_text_stays_if_it_says_something_else(message: Message) -> None:
    assert mend_history([Q, message, Q]) == [Q, message, Q]


def test_white_space_beside_calls_is_left_out() -> None:
    assert mend_history([calls(("a", "f"), content="\n"), result("a")]) == [calls(("a", "f")), result("a")]


def test_the_parts_of_a_result_without_its_call_stay() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}

    (message,) = mend_history([result("a", [image])])

    assert message["role"] == "user"
    assert message["content"][1:] == [image]


def test_a_note_on_what_is_attached_to_a_result_has_its_new_id() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}
    turn = [calls(("0", "f")), result("0")]
    attached = user([{"type": "text", "text": "Attached to the result of tool call 0:"}, image])

    first, second = [m for m in mend_history([*turn, attached, *turn, attached]) if m["role"] == "user"]

    assert first == attached
    assert second["content"] == [
        {"type": "text", "text": "Attached to the result of tool call call_3_0:"},
        image,
    ]


def test_a_result_with_the_legacy_role_becomes_a_tool_result() -> None:
    history = [calls((None, "f")), {"role": "function", "name": "f", "content": "ok"}]

    assert mend_history(history)[1] == {"role": "tool", "content": "ok", "tool_call_id": "call_0_0"}


def test_a_legal_history_is_not_changed() -> None:
    history = [SYSTEM, Q, calls(("a", "f"), ("b", "f")), result("a"), result("b"), SYSTEM, said("Done."), Q]

    mended = mend_history(history)

    assert all(given is sent for given, sent in zip(history, mended, strict=True))
