"""The feature table of docs/langchain.md is up to date."""

from __future__ import annotations

import pytest

from tests.gateway import Fault, Gateway
from tests.generated import part_of
from tests.langchain import features


@pytest.mark.combination
@pytest.mark.timeout(300)  # a hundred runs
def test_the_table_in_the_page_is_up_to_date(gateway: Gateway) -> None:
    made_with, _, tables = part_of(features.PAGE, features.PART).partition("\n\n")

    assert made_with.startswith("Run on ")
    assert tables == features.make_tables(gateway)


def test_a_broken_feature_is_marked(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(bench: features.Bench) -> None:
        bench.gateway.misbehave(Fault(status=500))
        bench.way.message(bench.model(), "Say one")

    monkeypatch.setattr(features, "FEATURES", (features.Feature("Broken", broken, ("invoke",)),))
    monkeypatch.setattr(features, "OBJECT_FEATURES", {})

    assert "| Broken | ❌ |  |  |  |" in features.make_tables(gateway)
