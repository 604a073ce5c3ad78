"""What the values of a form are drawn from."""

from __future__ import annotations

from tests.gateway.brain.context_prompts import find_context, find_question
from tests.gateway.brain.conversation import Conversation
from tests.gateway.brain.evaluations import evaluate
from tests.gateway.brain.extractions import extract
from tests.gateway.brain.selections import rerank, select


def material(conversation: Conversation, answer: str) -> str:
    """Return the text from which a form is filled.

    This is the question with the results of the tools. When the question comes with a context, it
    is what the context says about the question.
    """
    question = conversation.question
    if not is_task(question) and find_context(question) and find_question(question):
        return f"{answer}\n{find_question(question)}"
    return "\n".join([*(text for _, text in conversation.results), question])


def is_task(question: str) -> bool:
    """Tell whether a question is a prompt of a framework and not the words of a person."""
    return any(work(question) is not None for work in (select, rerank, evaluate, extract))
