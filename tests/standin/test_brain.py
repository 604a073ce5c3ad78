"""The answers make sense."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.gateway.brain import think

CONTEXT = (
    "Hà Nội is the capital of Vietnam. It has 8.4 million people. Dr. Lan founded the TexAPI "
    "company in 2021. Phở is a noodle soup."
)
TAI_LIEU = (
    "TexAPI là cổng kết nối các mô hình ngôn ngữ. Công ty được thành lập năm 2021 tại Hà Nội. "
    "Giá dịch vụ là 2 đô la cho một triệu token."
)
QUESTION = (
    "Context information is below.\n---------------------\n{context}\n---------------------\n"
    "Given the context information and not prior knowledge, answer the query.\n"
    "Query: {question}\nAnswer: "
)
SELECT = (
    "Some choices are given below. It is provided in a numbered list (1 to 2), where each item in "
    "the list corresponds to a summary.\n---------------------\n(1) Useful for questions about "
    "cooking\n\n(2) Useful for questions about the history of Huế\n---------------------\n"
    "Using only the choices above and not prior knowledge, return the choice that is most relevant "
    "to the question: 'Tell me the history of Huế'\n"
)


def answer(*texts: str) -> str:
    """Return the answer to the last of the texts, which user and assistant say in turn."""
    roles = ["user", "assistant"] * len(texts)
    messages = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    return think({"messages": messages}).text or ""


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Hello", "Hello! How can I help you today?"),
        ("Xin chào bạn", "Xin chào! Tôi có thể giúp gì cho bạn?"),
        ("What is the capital of France?", "The capital of France is Paris."),
        ("Thủ đô của Việt Nam là gì?", "Thủ đô của Việt Nam là Hà Nội."),
        ("What is 12 * 7?", "12 * 7 = 84"),
        ("two plus three", "2 + 3 = 5"),
        ("(2 + 3) * 4 / 8", "(2 + 3) * 4 / 8 = 2.5"),
        ("12 nhân 7 bằng bao nhiêu?", "12 * 7 = 84"),
        ("Reply with exactly: pong", "pong"),
        ("Repeat: xin chào", "xin chào"),
        ("Count from 3 to 6", "3, 4, 5, 6"),
        ("Đếm từ 1 đến 3", "1, 2, 3"),
        ("Translate to French: hello", "bonjour"),
        ("Dịch sang tiếng Anh: cảm ơn", "thank you"),
        ("What is my name?", "You have not told me that yet."),
    ],
)
def test_plain_questions(question: str, expected: str) -> None:
    assert answer(question) == expected


def test_an_honest_answer_restates_the_topic() -> None:
    assert "quantum entanglement" in answer("Explain quantum entanglement")
    assert answer("Hãy nói về vật lý lượng tử").startswith("Bạn hỏi về")


def test_facts_told_before_are_remembered() -> None:
    told = "Hi, my name is Bob and I live in Paris. My favorite color is blue."
    assert answer(told, "Hi!", "What is my name?") == "Your name is Bob."
    assert answer(told, "Hi!", "What's my favourite color?") == "Your favorite color is blue."
    assert answer("Tên tôi là Minh", "Chào!", "Tôi tên là gì?") == "Tên của bạn là Minh."


@pytest.mark.parametrize(
    ("context", "question", "expected"),
    [
        (CONTEXT, "Who founded TexAPI?", "Dr. Lan founded the TexAPI company in 2021."),
        (CONTEXT, "Who invented the telephone?", "The context does not say anything about this."),
        (
            TAI_LIEU,
            "Giá dịch vụ bao nhiêu?",
            "Theo tài liệu: Giá dịch vụ là 2 đô la cho một triệu token.",
        ),
        (TAI_LIEU, "Ai là giám đốc?", "Tài liệu không nói về điều này."),
    ],
)
def test_answers_come_out_of_the_context(context: str, question: str, expected: str) -> None:
    assert answer(QUESTION.format(context=context, question=question)) == expected


@pytest.mark.parametrize(
    "prompt",
    [
        "Answer based only on the following context:\n{context}\n\nQuestion: {question}\n",
        "Use the retrieved context.\nQuestion: {question} \nContext: {context} \nAnswer:",
        "<context>\n{context}\n</context>\n\nQuestion: {question}",
    ],
)
def test_other_prompts_with_a_context(prompt: str) -> None:
    filled = prompt.format(context=CONTEXT, question="What is phở?")
    assert answer(filled) == "Phở is a noodle soup."


@pytest.mark.parametrize(
    "system",
    [
        "Use the following pieces of retrieved context to answer.\n\n{context}",
        "You answer questions.\n\nContext: {context}",
        "Use the context information below to assist the user.\n-----------\n{context}\n----------",
    ],
)
def test_context_in_the_instructions(system: str) -> None:
    messages = [
        {"role": "system", "content": system.format(context=CONTEXT)},
        {"role": "user", "content": "What is phở?"},
    ]
    assert think({"messages": messages}).text == "Phở is a noodle soup."


def test_markdown_is_read_as_text() -> None:
    context = (
        "## Errors\n\n**Rates.** See [limits](limits.md).\n\n"
        "| Class | When |\n| --- | --- |\n| `RateLimitError` | 429, too fast |\n```python\nx = 1\n```"
    )

    assert answer(QUESTION.format(context=context, question="What is 429?")) == (
        "`RateLimitError`; 429, too fast"
    )
    assert answer(QUESTION.format(context=context, question="Where are the limits?")) == "See limits."


@pytest.mark.parametrize(("question", "relevant"), [("What is Phở?", True), ("Who wrote Hamlet?", False)])
def test_a_context_is_relevant_when_it_answers(question: str, relevant: bool) -> None:
    schema = {
        "type": "object",
        "properties": {"relevant": {"type": "boolean"}, "binary_score": {"type": "string"}},
        "required": ["relevant", "binary_score"],
    }
    body = {
        "messages": [{"role": "user", "content": QUESTION.format(context=CONTEXT, question=question)}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "Grade", "schema": schema}},
    }

    assert json.loads(think(body).text or "") == {
        "relevant": relevant,
        "binary_score": "yes" if relevant else "no",
    }


def test_refining_keeps_the_better_answer() -> None:
    prompt = (
        "The original query is as follows: Who founded TexAPI?\n"
        "We have provided an existing answer: {existing}\n"
        "We have the opportunity to refine the existing answer (only if needed) with some more "
        "context below.\n------------\n{context}\n------------\nGiven the new context, refine the "
        "original answer to better answer the query. If the context isn't useful, return the "
        "original answer.\nRefined Answer: "
    )
    unknown = "The context does not say anything about this."
    assert "Dr. Lan" in answer(prompt.format(existing=unknown, context=CONTEXT))
    known = "TexAPI was founded by Dr. Lan."
    assert answer(prompt.format(existing=known, context="Cats sleep a lot.")) == known


def test_selections() -> None:
    choices = json.loads(answer(SELECT + "\nThe output should be ONLY JSON formatted."))
    assert [choice["choice"] for choice in choices] == [2]
    documents = (
        "The relevance score is a number from 1-10 based on how relevant you think.\n"
        "Let's try this now: \n\nDocument 1:\nCats sleep.\n\nDocument 2:\nPhở is a soup.\n\n"
        "Question: What is phở?\nAnswer:\n"
    )
    assert answer(documents) == "Doc: 2, Relevance: 10"


@pytest.mark.parametrize(("claim", "verdict"), [("Phở is a soup.", "YES"), ("Cats fly.", "NO")])
def test_faithfulness(claim: str, verdict: str) -> None:
    prompt = (
        "Please tell if a given piece of information is supported by the context.\n"
        f"You need to answer with either YES or NO.\nInformation: {claim}\n"
        f"Context: {CONTEXT}\nAnswer: "
    )
    assert answer(prompt) == verdict


def test_correctness() -> None:
    prompt = "\n## User Query\nq\n\n## Reference Answer\n{}\n\n## Generated Answer\n{}\n"
    assert answer(prompt.format("Phở is a soup", "Phở is a soup")).startswith("5.0\n")
    assert answer(prompt.format("Phở is a soup", "Cats sleep")).startswith("1.0\n")


def test_extractions() -> None:
    keywords = (
        "Some text is provided below. Given the text, extract up to 3 keywords from the text. "
        f"Avoid stopwords.---------------------\n{CONTEXT}\n---------------------\nProvide "
        "keywords in the following comma-separated format: 'KEYWORDS: <keywords>'\n"
    )
    assert answer(keywords).startswith("KEYWORDS: ")
    condense = (
        "Given the following conversation, rephrase the follow up question.\n\nChat History:\n"
        "user: Who founded TexAPI?\nassistant: Dr. Lan.\nFollow Up Input: When was it?\n"
        "Standalone question:"
    )
    assert "TexAPI" in answer(condense)
    summary = f'Write a summary of the following. Be short.\n\n\n{CONTEXT}\n\n\nSUMMARY:"""\n'
    assert answer(summary).startswith("Hà Nội is the capital of Vietnam.")


def test_react_in_plain_text() -> None:
    system = (
        "You are designed to help.\n\n## Tools\n\nYou have access to the following tools:\n"
        "> Tool Name: multiply\nTool Description: multiply(a: int, b: int) -> int\nMultiply.\n"
        'Tool Args: {"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, '
        '"required": ["a", "b"], "type": "object"}\n\n\n## Output Format\n\n'
        "Action: tool name\nAction Input: the input\n"
    )
    messages = [
        {"role": "system", "content": system},
        {"role": "user", "content": "What is 6 times 7?"},
    ]
    step = think({"messages": messages}).text or ""
    assert '\nAction: multiply\nAction Input: {"a": 6, "b": 7}' in step
    messages += [
        {"role": "assistant", "content": step},
        {"role": "user", "content": "Observation: 42"},
    ]
    end = think({"messages": messages}).text or ""
    assert end.startswith("Thought: I can answer without using any more tools.")
    assert "42" in end.split("Answer:")[1]


def test_long_prompts_are_answered() -> None:
    assert answer(QUESTION.format(context=f"{CONTEXT} " * 200, question="What is phở?")) == (
        "Phở is a noodle soup."
    )


def test_schemas_that_refer_to_themselves() -> None:
    tree = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "children": {"type": "array", "items": {"$ref": "#"}},
            "parent": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        },
        "required": ["name", "children", "parent"],
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "tree", "schema": tree}}
    messages = [{"role": "user", "content": "Generate a tree for Lan and Minh"}]
    text = think({"messages": messages, "response_format": wanted}).text or ""
    assert json.loads(text)["name"] == "Lan"


def test_hand_off() -> None:
    fields = {"to_agent": {"type": "string"}, "reason": {"type": "string"}}
    tool: dict[str, Any] = {
        "type": "function",
        "function": {
            "name": "handoff",
            "description": "Useful for handing off to another agent.\n\nCurrently available "
            "agents:\n{'Writer': 'Writes reports', 'Researcher': 'Searches the web'}\n",
            "parameters": {"type": "object", "properties": fields, "required": list(fields)},
        },
    }
    question = {"role": "user", "content": "Search the web for Huế"}
    calls = think({"messages": [question], "tools": [tool]}).calls
    assert [call.name for call in calls] == ["handoff"]
    assert calls[0].arguments["to_agent"] == "Researcher"


def test_hand_off_of_what_is_left() -> None:
    weather: dict[str, Any] = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    fields = {"to_agent": {"type": "string"}, "reason": {"type": "string"}}
    handoff: dict[str, Any] = {
        "type": "function",
        "function": {
            "name": "handoff",
            "description": "Hands off.\n\nCurrently available agents:\n{'money': 'Converts USD'}\n",
            "parameters": {"type": "object", "properties": fields, "required": list(fields)},
        },
    }
    tools = [weather, handoff]
    result = [
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city": "Huế"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "rain"},
    ]
    both = {"role": "user", "content": "What is the weather in Huế, and how much is 250 USD in VND?"}
    alone = {"role": "user", "content": "What is the weather in Huế?"}

    first = think({"messages": [both], "tools": tools})
    then = think({"messages": [both, *result], "tools": tools})
    done = think({"messages": [alone, *result], "tools": tools})

    assert [(call.name, call.arguments) for call in first.calls] == [("get_weather", {"city": "Huế"})]
    assert [(call.name, call.arguments["to_agent"]) for call in then.calls] == [("handoff", "money")]
    assert not done.calls
