"""The handbook of the RAG notebooks: passages, questions, vectors, and what the stand-in makes of them."""

from __future__ import annotations

from collections.abc import Iterator

import nbformat
import numpy as np
import openai
import pytest

from notebooks import FOLDER
from notebooks.handbook import LANGUAGES, Question, passages, questions, vectors
from tests.gateway import Gateway
from tests.gateway.questions import NOTHING
from tests.standin.sdk import said, whole

RANKING = {
    "type": "json_schema",
    "json_schema": {
        "name": "Ranking",
        "schema": {
            "type": "object",
            "properties": {"ranking": {"type": "array", "items": {"type": "string"}}},
            "required": ["ranking"],
        },
    },
}
SHOWN = 10


@pytest.fixture
def client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=0) as made:
        yield made


def shown(*names: str) -> str:
    texts = {each.id: each.text for each in passages()}
    return "\n\n".join(f"Passage {name}:\n{texts[name]}" for name in names)


def test_there_are_200_passages_in_two_languages_and_40_questions() -> None:
    assert len(passages()) >= 200
    assert len({each.id for each in passages()}) == len({each.text for each in passages()}) == len(passages())
    assert {each.language for each in passages()} == set(LANGUAGES)
    asked = [text for each in questions() for text in (each.question, each.other)]
    assert len(questions()) >= 40
    assert len(set(asked)) == len(asked)


@pytest.mark.parametrize("each", questions(), ids=lambda each: each.passage)
def test_the_words_of_an_answer_stand_in_its_passage_only(each: Question) -> None:
    assert [passage.id for passage in passages() if each.given in passage.text] == [each.passage]


def test_every_passage_and_question_has_a_vector_of_length_one() -> None:
    asked = [text for each in questions() for text in (each.question, each.other)]
    made = np.array(vectors("passage", [each.text for each in passages()]) + vectors("query", asked))

    assert made.shape == (len(passages()) + len(asked), 384)
    assert np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-3)


@pytest.mark.parametrize("name", ["06_rag_moved", "07_llama_index_rag_moved"])
def test_the_saved_figures_of_the_vectors_are_those_of_the_file(name: str) -> None:
    of_passages = np.array(vectors("passage", [each.text for each in passages()]))
    of_questions = np.array(vectors("query", [each.question for each in questions()]))
    right = [[each.id for each in passages()].index(asked.passage) for asked in questions()]
    scores = of_questions @ of_passages.T
    ranks = (scores > scores[np.arange(len(right)), right][:, None]).sum(axis=1) + 1
    figures = [float((ranks <= k).mean()) for k in (1, 3, SHOWN)]
    mean = float(np.where(ranks <= SHOWN, 1 / ranks, 0).mean())
    expected = "vectors: recall@1 {:.3f} recall@3 {:.3f} recall@10 {:.3f} MRR ".format(*figures)

    cells = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells
    texts = [output.get("text", "") for cell in cells for output in cell.get("outputs", [])]

    (saved,) = (text.removeprefix(expected) for text in texts if text.startswith(expected))
    assert float(saved) == pytest.approx(mean, abs=0.002)  # the store's vectors are of 32 bits


def test_a_question_is_answered_from_its_passage_which_is_cited(client: openai.OpenAI) -> None:
    each = questions()[0]
    question = f"\n\nQuestion: {each.question}"

    assert said(client, shown("kt17-dry", each.passage) + question) == each.answer
    assert (
        said(client, f"Please cite. {shown('kt17-dry', each.passage)}{question}")
        == f"{each.answer} [{each.passage}]"
    )
    assert said(client, shown("kt17-dry") + question) == NOTHING


def test_a_question_is_translated_both_ways(client: openai.OpenAI) -> None:
    each = questions()[0]

    assert said(client, f"Translate.\nQuestion: {each.question}") == each.other
    assert said(client, f"Translate.\nQuestion: {each.other}") == each.question


def test_a_ranking_has_every_passage_and_the_right_one_first(client: openai.OpenAI) -> None:
    each = questions()[0]
    names = ["kt17-dry", "gh-phi", each.passage]
    text = f"Put the passages in order of relevance.\n{shown(*names)}\n\nQuestion: {each.question}"

    answer = whole(client, text, response_format=RANKING)["choices"][0]["message"]["content"]

    assert answer == f'{{"ranking": ["{each.passage}", "kt17-dry", "gh-phi"]}}'
    without = text.replace(each.given, "")
    assert said(client, without).startswith("Doc: kt17-dry, Relevance: 10\nDoc: gh-phi, Relevance: 9")


@pytest.mark.parametrize("is_right", [True, False])
def test_a_given_answer_is_right_if_it_is_the_tables(client: openai.OpenAI, is_right: bool) -> None:
    each, other = questions()[:2]
    given = (each if is_right else other).answer
    text = f"Question: {each.question}\nRight answer: {each.answer}\nGiven answer: {given}"

    answer = whole(client, text, response_format=RANKING)["choices"][0]["message"]["content"]

    assert answer.startswith('{"correct": true' if is_right else '{"correct": false')
