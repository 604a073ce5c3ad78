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
REFERENCES: dict[Any, dict[str, Any]] = {
    CorrectnessEvaluator: {"reference": "By bank transfer."},
    PairwiseComparisonEvaluator: {"second_response": "I do not know.", "reference": "By bank transfer."},
}


@pytest.mark.parametrize("evaluator", [FaithfulnessEvaluator, RelevancyEvaluator])
@pytest.mark.parametrize("running", [False, True], ids=["no loop runs", "a loop runs"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_four_evaluations_are_four_requests(
    gateway: Gateway, endpoint: Endpoint, evaluator: Any, running: bool
) -> None:
    model = llm(endpoint, max_retries=2)
    asyncio.run(model.acomplete("Say one"))  # leaves a loop behind that is closed
    gateway.reset()

    def evaluate() -> list[bool]:
        return [evaluator(llm=model).evaluate(**ASKED).passing for _ in range(4)]

    async def under_a_running_loop() -> list[bool]:
        return evaluate()

    assert (asyncio.run(under_a_running_loop()) if running else evaluate()) == [True] * 4
    assert len(gateway.requests) == 4
    asyncio.run(model.acomplete("Say one"))  # drops the clients of loops that LlamaIndex closed under them
    gc.collect()


@pytest.mark.parametrize(
    "evaluator",
    [
        FaithfulnessEvaluator,
        RelevancyEvaluator,
        CorrectnessEvaluator,
        AnswerRelevancyEvaluator,
        ContextRelevancyEvaluator,
        PairwiseComparisonEvaluator,
    ],
)
async def test_each_gives_a_verdict(gateway: Gateway, endpoint: Endpoint, evaluator: Any) -> None:
    result = await evaluator(llm=llm(endpoint)).aevaluate(**ASKED, **REFERENCES.get(evaluator, {}))

    assert not result.invalid_result
    assert result.score is not None or result.passing is not None
    assert all(entry.status == 200 for entry in gateway.ledger)


async def test_a_guideline_is_judged_by_an_object(endpoint: Endpoint) -> None:
    result = await GuidelineEvaluator(llm=llm(endpoint), guidelines="Be brief.").aevaluate(**ASKED)

    assert result.feedback


async def test_many_at_once(gateway: Gateway, endpoint: Endpoint) -> None:
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
