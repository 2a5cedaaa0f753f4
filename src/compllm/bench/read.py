"""How well an expert answers from passages that it is given, and whether it says so when they do not answer."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from compllm.bench.figures import Figures, mean, percentiles, ratio
from compllm.bench.rows import evenly
from compllm.bench.squad import contains, exact_match, token_f1
from compllm.core.answers import Passage, SubAnswer
from compllm.errors import ConfigError, ExpertResponseError
from compllm.experts.base import Backend, ChatRequest, Chunk
from compllm.experts.expert import NOT_FOUND, Expert
from compllm.experts.metered import Metered, Usage
from compllm.router.calibration import read_json_lines


@dataclass(frozen=True, slots=True)
class ReadRow:
    """A question, passages, and the answers that they give; none if they do not answer it."""

    question: str
    passages: tuple[str, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of a row: the answer, or None if the expert said that the passages have none; tokens and seconds.

    The text is empty if the model failed. `writing_s` count from the first token of a reply to its end.
    """

    row: ReadRow
    text: str | None
    tokens: int = 0
    elapsed_s: float = 0.0
    writing_s: float = 0.0


def read_rows(path: Path, documents: Path | None = None, limit: int | None = None) -> list[ReadRow]:
    """Read JSON lines `{"question", "answers", "passages", "answerable"}`, at most `limit`, spread evenly.

    With `documents`, JSON lines `{"id", "text"}`, the rows may be `{"question", "answer", "doc_title", "doc_index"}`:
    each gets the document `xquad-TITLE-INDEX` as its only passage.

    Raises:
        ConfigError: naming file and line.
    """
    texts = {str(row.get("id")): str(row.get("text")) for _, row in read_json_lines(documents)} if documents else {}
    found = read_json_lines(path)
    return [_row(found[place][1], found[place][0], texts) for place in evenly(len(found), limit)]


def _row(row: Mapping[str, object], where: str, texts: Mapping[str, str]) -> ReadRow:
    question = row.get("question")
    if not isinstance(question, str) or not question.strip():
        raise ConfigError(f'{where}: a row needs a "question"')
    if "doc_title" in row:
        document = f"xquad-{row['doc_title']}-{row.get('doc_index')}"
        if document not in texts:
            raise ConfigError(f"{where}: there is no document {document!r}; name the file with --documents")
        return ReadRow(question, (texts[document],), (_text(row, "answer", where),))
    answers = _texts(row, "answers", where) if row.get("answerable", True) else ()
    return ReadRow(question, _texts(row, "passages", where), answers)


def _text(row: Mapping[str, object], key: str, where: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f'{where}: "{key}" must be a text')
    return value


def _texts(row: Mapping[str, object], key: str, where: str) -> tuple[str, ...]:
    value = row.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(text, str) and text.strip() for text in value):
        raise ConfigError(f'{where}: "{key}" must be a list of texts')
    return tuple(value)


async def reading(expert: Expert, backend: Backend, row: ReadRow) -> Reading:
    """Put a question to the expert with the passages of its row in place of the expert's documents.

    What the model would fail at again, as at a row that is longer than its context, is a failure and no abstention.

    Raises:
        ExpertError: the model failed, and might not if it is asked again.
    """
    passages = tuple(Passage("bench", "", text, 1.0) for text in row.passages)
    reader, heard = replace(expert, retrieve=lambda *_: passages), _Heard(backend, Usage())
    try:
        async with aclosing(reader.answer(row.question, heard)) as pieces:
            async for piece in pieces:
                if isinstance(piece, SubAnswer):
                    text = None if piece.text == NOT_FOUND else piece.text
                    return Reading(row, text, piece.completion_tokens, piece.elapsed_s, heard.writing_s)
    except ExpertResponseError as error:
        if error.retryable:
            raise
    return Reading(row, None if heard.text.strip() == NOT_FOUND else "")


class _Heard(Metered):
    """A backend that remembers the last thing that its model said, and for how long it wrote.

    A reader's answer comes as a whole, so that the expert cannot tell when its first token came.
    """

    text = ""
    writing_s = 0.0

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Stream the backend's reply and remember it."""
        self.text, first_s = "", None
        async with aclosing(super().stream(request)) as chunks:
            async for chunk in chunks:
                first_s = first_s or (time.monotonic() if chunk.text else None)
                self.text += chunk.text
                yield chunk
        self.writing_s += time.monotonic() - first_s if first_s else 0.0


def read_figures(name: str, readings: Sequence[Reading]) -> Figures:
    """Return the figures of one way to read.

    `f1`, `exact` and `contains` (an answer is in the reply, word for word) over the answerable questions, where an
    abstention counts as wrong; `abstained` over the others, `false_abstentions` over the answerable ones; `failed` over
    all; `tokens_per_s` after the first token.
    """
    answerable = [each for each in readings if each.row.answers]
    others = [each for each in readings if not each.row.answers]
    answered = [each for each in readings if each.tokens]
    return {
        "reader": name,
        "questions": len(readings),
        "answerable": len(answerable),
        "f1": mean([token_f1(each.text, each.row.answers) if each.text else 0.0 for each in answerable]),
        "exact": mean([bool(each.text) and exact_match(each.text or "", each.row.answers) for each in answerable]),
        "contains": mean([contains(each.text or "", each.row.answers) for each in answerable]),
        "abstained": mean([each.text is None for each in others]),
        "false_abstentions": mean([each.text is None for each in answerable]),
        "failed": mean([each.text == "" for each in readings]),
        "tokens": mean([each.tokens for each in answered]),
        "tokens_per_s": ratio(sum(each.tokens - 1 for each in answered), sum(each.writing_s for each in answered)),
        **(percentiles("answer_s", [each.elapsed_s for each in answered]) if answered else {}),
    }
