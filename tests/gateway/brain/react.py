"""Agents that call tools in plain text: thought, action, observation."""

from __future__ import annotations

import json
import re

from tests.gateway.brain.conversation import Conversation, Message, Tool
from tests.gateway.brain.results import answer_from_results
from tests.gateway.brain.thought import Call
from tests.gateway.brain.tool_use import choose_calls
from tests.gateway.brain.words import is_vietnamese

_LLAMA_TOOL = re.compile(
    r"> Tool Name: (.*?)\nTool Description: (.*?)\nTool Args: (\{.*?\})\s*(?=\n>|\n\n|\Z)",
    re.DOTALL,
)
_PLAIN_TOOL = re.compile(r"^(\w+)(?:\([^\n]*?\)(?: -> \w+)?)?\s*[:-]\s*(.+)$", re.MULTILINE)
_PLAIN_PROMPT = re.compile(
    r"access to the following tools:\s*\n(.*?)\n\s*Use the following format:.*?Begin!"
    r".*?\nQuestion:\s*(.*?)\n\s*Thought:(.*)",
    re.DOTALL,
)
_STEP = re.compile(
    r"Action:\s*(.*?)\s*\nAction Input:\s*(.*?)\s*\n+\s*Observation:\s*(.*?)(?=\n\s*Thought:|\Z)",
    re.DOTALL,
)


def react(conversation: Conversation, plain_answer: str) -> str | None:
    """Take the next step of such an agent, or return nothing when the prompt is none."""
    if "Action Input:" in conversation.system and "> Tool Name:" in conversation.system:
        return _react_in_messages(conversation, plain_answer)
    match = _PLAIN_PROMPT.search(conversation.question)
    return _react_in_prompt(match[1], match[2], match[3], plain_answer) if match else None


def _react_in_messages(conversation: Conversation, plain_answer: str) -> str:
    """Take the next step when the steps before are messages."""
    tools = tuple(
        Tool(name.strip(), text, json.loads(schema))
        for name, text, schema in _LLAMA_TOOL.findall(conversation.system)
    )
    asked = [at for at, each in enumerate(conversation.messages) if _is_question(each)]
    last = asked[-1] if asked else 0
    question = conversation.messages[last].text
    done: list[tuple[Call, str]] = []
    call: Call | None = None
    for message in conversation.messages[last + 1 :]:
        if message.role == "assistant":
            call = _written_call(message.text)
        elif message.text.startswith("Observation:") and call is not None:
            done.append((call, message.text.removeprefix("Observation:").strip()))
    calls = choose_calls(_as_conversation(question, tools, done), plain_answer)
    if calls:
        return (
            f"Thought: The current language of the user is: {_language(question)}. "
            "I need to use a tool to help me answer the question.\n"
            f"Action: {calls[0].name}\n"
            f"Action Input: {json.dumps(calls[0].arguments, ensure_ascii=False)}"
        )
    answer = answer_from_results(question, done) if done else plain_answer
    return (
        "Thought: I can answer without using any more tools. "
        f"I'll use the user's language to answer\nAnswer: {answer}"
    )


def _react_in_prompt(listed: str, question: str, steps: str, plain_answer: str) -> str:
    """Take the next step when everything is one prompt."""
    schema = {"properties": {"input": {"type": "string"}}, "required": ["input"]}
    found = _PLAIN_TOOL.findall(listed)
    tools = tuple(Tool(name, f"{text} search", schema) for name, text in found)
    done = [(Call(name, {"input": text}), observed.strip()) for name, text, observed in _STEP.findall(steps)]
    calls = choose_calls(_as_conversation(question, tools, done), plain_answer)
    if calls:
        text = calls[0].arguments.get("input", question)
        return f" I need to use a tool.\nAction: {calls[0].name}\nAction Input: {text}"
    answer = answer_from_results(question, done) if done else plain_answer
    return f" I now know the final answer\nFinal Answer: {answer}"


def _as_conversation(question: str, tools: tuple[Tool, ...], done: list[tuple[Call, str]]) -> Conversation:
    """Return the steps as a conversation with real tool calls."""
    messages = [Message("user", question)]
    for at, (call, result) in enumerate(done):
        messages.append(Message("assistant", "", calls=((str(at), call),)))
        messages.append(Message("tool", result, call_id=str(at)))
    return Conversation(tuple(messages), tools, is_parallel=False)


def _written_call(text: str) -> Call | None:
    """Return the call that is written in a step."""
    match = re.search(r"Action:\s*(.*?)\s*\nAction Input:\s*(\{.*\})", text, re.DOTALL)
    if match is None:
        return None
    try:
        arguments = json.loads(match[2].replace("'", '"'))
    except ValueError:
        arguments = {}
    return Call(match[1], arguments)


def _is_question(message: Message) -> bool:
    """Tell whether a message is a question and not an observation."""
    return message.role == "user" and not message.text.startswith("Observation:")


def _language(text: str) -> str:
    return "Vietnamese" if is_vietnamese(text) else "English"
