"""Handing a conversation over to another agent."""

from __future__ import annotations

import re

from tests.gateway.brain.conversation import Conversation
from tests.gateway.brain.thought import Call
from tests.gateway.brain.words import is_vietnamese, stems, topic

HANDOFF = "handoff"
_AGENT = re.compile(r"""['"]?([\w .-]{1,60}?)['"]?\s*:\s*(?:'([^']*)'|"([^"]*)"|([^\n,}]+))""")


def hand_off(conversation: Conversation, question: str) -> Call | None:
    """Return the call that hands over to the agent that fits a question or a part of it, if there is one."""
    tool = next((each for each in conversation.tools if each.name == HANDOFF), None)
    if tool is None or _was_handed(conversation):
        return None
    listed = tool.description.rsplit("agents:", 1)[-1]
    agents = {name.strip(): a or b or c for name, a, b, c in _AGENT.findall(listed)}
    wanted = stems(question)
    scored = {
        name: len(wanted & stems(f"{re.sub(r'(?<=[a-z])(?=[A-Z])', ' ', name)} {text}"))
        for name, text in agents.items()
    }
    best = max(scored, key=lambda name: scored[name], default=None)
    if best is None or not scored[best]:
        return None
    about = topic(question)
    reason = f"Người dùng hỏi về {about}." if is_vietnamese(question) else f"The user asks about {about}."
    return Call(HANDOFF, {"to_agent": best, "reason": reason})


def _was_handed(conversation: Conversation) -> bool:
    """Tell whether the question was handed over already."""
    since = conversation.messages[conversation.question_at + 1 :]
    return any(call.name == HANDOFF for each in since for _, call in each.calls)
