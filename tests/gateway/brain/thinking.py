"""The way from a request to an answer."""

from __future__ import annotations

from typing import Any

from tests.gateway.brain.arithmetic import calculate, find_expression
from tests.gateway.brain.commands import obey
from tests.gateway.brain.context_prompts import answer_with_context
from tests.gateway.brain.conversation import Conversation, read_conversation
from tests.gateway.brain.evaluations import evaluate
from tests.gateway.brain.extractions import extract
from tests.gateway.brain.handoff import HANDOFF
from tests.gateway.brain.json_answers import answer_in_json, asks_for_json, find_schema
from tests.gateway.brain.knowledge import is_small_talk, recall
from tests.gateway.brain.material import material
from tests.gateway.brain.memory import acknowledge, remember
from tests.gateway.brain.react import react
from tests.gateway.brain.results import answer_from_results
from tests.gateway.brain.selections import rank_passages, rerank, select
from tests.gateway.brain.thought import Thought
from tests.gateway.brain.tool_use import choose_calls
from tests.gateway.brain.words import is_vietnamese, topic


def think(body: dict[str, Any], *, reasons: bool = False) -> Thought:
    """Answer a request that was found to be correct."""
    conversation = read_conversation(body)
    thought = _decide(conversation)
    if not reasons:
        return thought
    return Thought(thought.text, _reason(conversation, thought), thought.calls, thought.is_formatted)


def _decide(conversation: Conversation) -> Thought:
    """Decide between tools, JSON and plain text."""
    answer = _answer(conversation)
    calls = choose_calls(conversation, answer)
    if calls:
        return Thought(calls=tuple(calls))
    results = conversation.results
    if any(call.name != HANDOFF for call, _ in results):
        answer = answer_from_results(conversation.question, results)
    if conversation.wants_json or asks_for_json(conversation.question):
        source = material(conversation, answer)
        schema = conversation.schema or find_schema(conversation.question)
        return Thought(answer_in_json(schema, source, answer), is_formatted=True)
    step = react(conversation, answer)
    if step is not None:
        return Thought(step, is_formatted=True)
    return Thought(_about_media(conversation) + answer)


def _answer(conversation: Conversation) -> str:
    """Return the plain answer to the last question."""
    question = conversation.question
    for work in (select, rerank, evaluate, extract):
        answer = work(question)
        if answer is not None:
            return answer
    ranking = rank_passages(question, conversation.earlier)
    if ranking is not None:
        return ranking
    if is_small_talk(question):
        return recall(question) or ""
    remembered = remember(question, conversation.earlier, conversation.system)
    known = [answer_with_context(conversation), remembered]
    if known[0] is not None and remembered is not None and conversation.earlier:
        known.reverse()
    known += [obey(question, conversation.system), _calculated(question), recall(question)]
    known += [acknowledge(question)]
    return next((each for each in known if each is not None), None) or _honest(question)


def _calculated(question: str) -> str | None:
    """Return the result of the calculation in a question."""
    expression = find_expression(question)
    value = calculate(expression) if expression else None
    return f"{expression} = {value}" if value is not None else None


def _honest(question: str) -> str:
    """Return that nothing is known about the topic of a question."""
    about = topic(question)
    if is_vietnamese(question):
        return f"Bạn hỏi về {about}. Tôi không có thông tin chắc chắn về điều này."
    if not about:
        return "I am not sure what you would like to know."
    return f"You asked about {about}. I have no certain knowledge of it."


def _about_media(conversation: Conversation) -> str:
    """Return a sentence about what came next to the text of the question."""
    media = conversation.media
    if not media:
        return ""
    counted = {each: media.count(each) for each in dict.fromkeys(media)}
    vietnamese = is_vietnamese(conversation.question)
    listed = ", ".join(_counted(each, count) for each, count in counted.items())
    return f"Tôi đã nhận được {listed}. " if vietnamese else f"I received {listed}. "


def _counted(thing: str, count: int) -> str:
    """Return how many of a thing there are."""
    if count == 1:
        return f"1 {thing}"
    noun, _, rest = thing.partition(" (")
    return f"{count} {noun}s ({rest}"


def _reason(conversation: Conversation, thought: Thought) -> str:
    """Return the reasoning that leads to a thought."""
    question = " ".join(conversation.question.split())[-160:]
    names = ", ".join(call.name for call in thought.calls)
    if is_vietnamese(conversation.question):
        step = f"Tôi cần gọi {names}." if names else "Tôi có thể trả lời ngay."
        return f"Người dùng nói: {question} {step}"
    step = f"I need to call {names}." if names else "I can answer this directly."
    return f"The user says: {question} {step}"
