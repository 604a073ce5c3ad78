"""Evaluators: one request per evaluation, whichever event loops LlamaIndex opens for it."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from llama_index.core.evaluation import (
    AnswerRelevancyEvaluator,
    BatchEvalRunner,
    ContextRelevancyEvaluator,
    CorrectnessEvaluator,
    FaithfulnessEvaluator,
    GuidelineEvaluator,
    PairwiseComparisonEvaluator,
    RelevancyEvaluator,
)

from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.llama_index.test_chat import llm

ASKED: dict[str, Any] = {
    "query": "By what transfer is the balance prepaid?",
    "response": "The balance is prepaid by bank transfer.",
    "contexts": ["The balance is prepaid by bank transfer. It never expires."],
}
VERDICTS: dict[Any, str] = {
    FaithfulnessEvaluator: "YES",
    RelevancyEvaluator: "YES",
    CorrectnessEvaluator: "5.0\nIt says what the reference says.",
    AnswerRelevancyEvaluator: "1. It is.\n2. It does.\n[RESULT] 2",
    ContextRelevancyEvaluator: "1. It is.\n2. It does.\n[RESULT] 4.0",
}


@pytest.mark.parametrize("evaluator", [FaithfulnessEvaluator, RelevancyEvaluator])
@pytest.mark.parametrize("running", [False, True], ids=["no loop runs", "a loop runs"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_four_evaluations_are_four_requests(
    gateway: Gateway, endpoint: Endpoint, evaluator: Any, running: bool
) -> None:
    model = llm(endpoint, max_retries=2)
    asyncio.run(model.acomplete("Say one"))  # leaves a closed event loop behind
    gateway.reset()
    gateway.answer(*[VERDICTS[evaluator]] * 4)

    def evaluate() -> list[bool]:
        return [evaluator(llm=model).evaluate(**ASKED).passing for _ in range(4)]

    async def under_a_running_loop() -> list[bool]:
        return evaluate()

    assert (asyncio.run(under_a_running_loop()) if running else evaluate()) == [True] * 4
    assert len(gateway.requests) == 4
    asyncio.run(model.acomplete("Say one"))  # drops the clients of loops that LlamaIndex has closed
    gc.collect()


@pytest.mark.parametrize("evaluator", VERDICTS)
async def test_each_evaluator_gives_a_verdict(gateway: Gateway, endpoint: Endpoint, evaluator: Any) -> None:
    gateway.answer(VERDICTS[evaluator])
    asked = {**ASKED, "reference": "By bank transfer."} if evaluator is CorrectnessEvaluator else ASKED

    result = await evaluator(llm=llm(endpoint)).aevaluate(**asked)

    assert not result.invalid_result
    assert result.score
    assert all(entry.status == 200 for entry in gateway.ledger)


async def test_two_answers_are_compared_in_both_orders(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.answer("The first is right. [[A]]", "The second is right. [[B]]")

    result = await PairwiseComparisonEvaluator(llm=llm(endpoint)).aevaluate(
        **ASKED, second_response="I do not know.", reference="By bank transfer."
    )

    assert result.passing
    assert len(gateway.requests) == 2


async def test_a_guideline_is_judged_by_an_object(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.answer({"passing": True, "feedback": "It is brief."})

    result = await GuidelineEvaluator(llm=llm(endpoint), guidelines="Be brief.").aevaluate(**ASKED)

    assert result.feedback == "It is brief."


async def test_many_at_once(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.answer("YES", to=ASKED["response"])
    model = llm(endpoint)
    runner = BatchEvalRunner(
        {"faithful": FaithfulnessEvaluator(llm=model), "relevant": RelevancyEvaluator(llm=model)}, workers=4
    )

    results = await runner.aevaluate_response_strs(
        queries=[ASKED["query"]] * 4,
        response_strs=[ASKED["response"]] * 4,
        contexts_list=[ASKED["contexts"]] * 4,
    )

    assert [len(results["faithful"]), len(results["relevant"])] == [4, 4]
    assert len(gateway.requests) == 8
