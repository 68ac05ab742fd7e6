"""VQA v2's questions and annotations files (Goyal et al., "Making the V in VQA Matter").

Each question of the published data has ten answers by ten people. A picture is named by its image_id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from polysense.errors import PolysenseError
from polysense.text import clean
from polysense.vision_language.annotations.records import Record, read_json, write_json, written_name
from polysense.vision_language.examples import Question


def read_vqa(questions_file: Path | str, annotations_file: Path | str | None = None) -> list[Question]:
    """The questions, in file order, with their answers where an annotations file is given.

    `kind` is the annotation's answer_type ("yes/no", "number" or "other").

    Args:
        questions_file: e.g. v2_OpenEnded_mscoco_train2014_questions.json, plain or gzipped.
        annotations_file: e.g. v2_mscoco_train2014_annotations.json; None for a split without answers.

    Raises:
        PolysenseError: a file is damaged or of another layout, a question is empty or there twice, or the two files
            are not about the same questions.
    """
    answers = {} if annotations_file is None else _answers(annotations_file)
    questions = []
    seen: set[str] = set()
    for record in Record(str(questions_file), read_json(questions_file)).records("questions"):
        identity, picture = record.new_name("question_id", seen), record.name("image_id")
        if annotations_file is not None and identity not in answers:
            raise PolysenseError(
                f"{record.where}: question {identity!r} has no annotation in {annotations_file}; "
                "give the two files of one split"
            )
        given, kind = answers.pop(identity, ((), ""))
        questions.append(Question(identity, picture, record.text("question"), given, kind))
    if answers:
        raise PolysenseError(
            f"{annotations_file}: {len(answers)} annotations are of no question in {questions_file} "
            f"(first: question {next(iter(answers))!r}); give the two files of one split"
        )
    return questions


def _answers(file: Path | str) -> dict[str, tuple[tuple[str, ...], str]]:
    found: dict[str, tuple[tuple[str, ...], str]] = {}
    seen: set[str] = set()
    for record in Record(str(file), read_json(file)).records("annotations"):
        identity = record.new_name("question_id", seen)
        given = []
        for answer in record.records("answers"):
            text = answer.field("answer")
            if not isinstance(text, str):  # an empty answer is one that somebody gave
                raise answer.wrong("answer", "a text", text)
            given.append(clean(text))
        found[identity] = (tuple(given), record.text("answer_type") if record.values.get("answer_type") else "")
    return found


def write_vqa(
    questions_file: Path | str, questions: Iterable[Question], annotations_file: Path | str | None = None
) -> None:
    """Write questions in VQA v2's layout.

    Args:
        annotations_file: where the answers go; None where there are none.

    Raises:
        PolysenseError: a question has answers and there is no annotations file.
    """
    questions = list(questions)
    if annotations_file is None:
        if any(question.answers for question in questions):
            raise PolysenseError(f"{questions_file}: the questions have answers; give an annotations file too")
    else:
        write_json(annotations_file, {"annotations": [_annotation(question) for question in questions]})
    write_json(
        questions_file,
        {
            "task_type": "Open-Ended",
            "questions": [
                {
                    "question_id": written_name(question.identity),
                    "image_id": written_name(question.picture),
                    "question": question.text,
                }
                for question in questions
            ],
        },
    )


def _annotation(question: Question) -> dict[str, object]:
    common = Counter(question.answers).most_common(1)
    return {
        "question_id": written_name(question.identity),
        "image_id": written_name(question.picture),
        "answer_type": question.kind,
        "multiple_choice_answer": common[0][0] if common else "",
        "answers": [
            {"answer_id": number, "answer": answer, "answer_confidence": "yes"}
            for number, answer in enumerate(question.answers, 1)
        ],
    }
