"""Models that were not trained on a task, asked for the colours and shapes of objects (MaCSC Table 7, MASE Table 4)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm
from transformers import MODEL_FOR_MASKED_LM_MAPPING, AutoConfig, AutoModelForMaskedLM, PreTrainedTokenizerBase

from polysense.embedded import resolve_model
from polysense.errors import PolysenseError
from polysense.loading import hub_errors, load_weights, open_auto
from polysense.prototypes.reader import read_prototypes
from polysense.prototypes.reading import Reading
from polysense.tasks.objects import NamedObject, ObjectTask
from polysense.tasks.zero_shot import PROMPTS, class_sentence, object_task
from polysense.towers.registry import open_tower
from polysense.towers.tower import load_tokenizer

_NO_PROBE = ("pictures", "search", "train")
"""Kinds of what `--tower MODALITY=` takes that are no tower as it is."""

BATCH_SIZE = 64
"""Sentences a step."""


def zero_shot_masked(
    backbone: str, task: str, data_dir: Path | str | None = None, batch_size: int = BATCH_SIZE
) -> dict[str, Any]:
    """How often a masked language model, as it is, finds an object's property likeliest of all.

    Each prompt of `tasks.zero_shot.PROMPTS` is asked on its own, and a split's score is the mean over the prompts of
    the accuracies, as in the prompts' sources. The choice is among all classes of the task, as a model that is trained
    on it has to choose; a note says where no object of a split has some of them. A word of several pieces scores the
    sum of log p of each piece, given those before it with those behind it masked (Kauf and Ivanova, 2023, "within-word
    left to right"); for a word of one piece that is log p at the mask.

    Args:
        backbone: hub id or folder of a model with a head that predicts masked words.
        task: coda, color or shape.
        data_dir: as for the task.
        batch_size: sentences a step.

    Returns:
        "task", "model", "objects" (their number by split), "scores" (split -> mean accuracy, 0 to 1), "deviations"
        (split -> standard deviation over the prompts, 0 to 1), "prompts" (split -> prompt -> accuracy) and "notes".

    Raises:
        PolysenseError: no such model, one without the weights of such a head, no such task, or its data are nowhere.
    """
    known = object_task(task)
    model, tokenizer = _masked_model(backbone)
    splits, notes = _scored(known, data_dir)
    prompts = PROMPTS[known.attribute]
    words = known.label_names
    things = [thing for split in splits.values() for thing in split]
    queries = [_filled(tokenizer, prompt, thing, word) for thing in things for prompt in prompts for word in words]
    scores = _word_scores(model, tokenizer, queries, batch_size).reshape(len(things), len(prompts), len(words))
    if long := [word for word, query in zip(words, queries, strict=False) if len(query.places) > 1]:
        notes.append(f"{backbone}: {', '.join(long)} are of several pieces each, which are scored one after another")
    accuracies = _accuracies(splits, scores)
    return {
        **_result(task, backbone, splits, {name: float(by.mean()) for name, by in accuracies.items()}, notes),
        "deviations": {name: float(by.std(ddof=1)) for name, by in accuracies.items()},
        "prompts": {name: dict(zip(prompts, map(float, by), strict=True)) for name, by in accuracies.items()},
    }


def zero_shot_tower(tower: str, task: str, data_dir: Path | str | None = None) -> dict[str, Any]:
    """How often a contrastive text tower puts an object nearest to itself with its own property (the row "CLIP").

    An object is given the class whose sentence ("a yellow banana") is the nearest to its own ("a banana") by the cosine
    of the tower's features, of all classes of the task. The papers do not say how they asked CLIP; this is the plain
    way.

    Args:
        tower: what `--tower MODALITY=` takes.
        task: coda, color or shape.
        data_dir: as for the task.

    Returns:
        "task", "model", "objects" (their number by split), "scores" (split -> accuracy, 0 to 1) and "notes".

    Raises:
        PolysenseError: no such tower or task, one that says nothing of a text as it is, or the data are nowhere.
    """
    known = object_task(task)
    kind, colon, _ = tower.partition(":")
    if colon and kind in _NO_PROBE:
        raise PolysenseError(
            f"tower {tower}: {kind}: cannot be probed, only text towers as they are: image, audio, video, noise, a hub "
            "id or folder, encoder:, raw: or bf16:"
        )
    opened = open_tower(tower)
    splits, notes = _scored(known, data_dir)
    things = [thing for split in splits.values() for thing in split]
    texts = [text for thing in things for text in _sentences(thing, known.label_names)]
    unique = list(dict.fromkeys(texts))
    with torch.no_grad():
        read = read_prototypes(opened, Reading(selection="pooled", precision="exact"), unique)
    features = read.features[:, 0].astype(np.float64)
    features /= np.linalg.norm(features, axis=1, keepdims=True).clip(min=np.finfo(np.float64).tiny)
    row = {text: index for index, text in enumerate(unique)}
    table = features[[row[text] for text in texts]].reshape(len(things), 1 + len(known.label_names), -1)
    scores = np.einsum("nd,ncd->nc", table[:, 0], table[:, 1:])[:, None]
    accuracies = _accuracies(splits, scores)
    return _result(task, tower, splits, {name: float(by[0]) for name, by in accuracies.items()}, notes)


def _scored(task: ObjectTask, data_dir: Path | str | None) -> tuple[dict[str, list[NamedObject]], list[str]]:
    """The splits that a model is asked, and what is to be said of them."""
    splits, notes = task.objects(Path(data_dir) if data_dir else None)
    scored = {name: things for name, things in splits.items() if name != "train"}
    classes = len(task.label_names)
    had = {name: len({thing.label for thing in things}) for name, things in scored.items()}
    fewer = [f"{name}: asked among {classes} classes, its objects have {n}" for name, n in had.items() if n < classes]
    return scored, [*notes, *fewer]


def _sentences(thing: NamedObject, words: Sequence[str]) -> list[str]:
    return [thing.described, *(class_sentence(thing, word) for word in words)]


def _accuracies(splits: dict[str, list[NamedObject]], scores: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """(P,) accuracies of each split, from scores (objects of all splits, P prompts, C classes)."""
    accuracies = {}
    first = 0
    for name, things in splits.items():
        labels = np.array([thing.label for thing in things])
        # Among all classes of the task, as a model that was trained on it has to choose.
        chosen = scores[first : first + len(things)].argmax(axis=-1)
        accuracies[name] = (chosen == labels[:, None]).mean(axis=0)
        first += len(things)
    return accuracies


def _result(
    task: str, model: str, splits: dict[str, list[NamedObject]], scores: dict[str, float], notes: Sequence[str]
) -> dict[str, Any]:
    objects = {name: len(things) for name, things in splits.items()}
    return {"task": task, "model": model, "objects": objects, "scores": scores, "notes": list(notes)}


def _masked_model(source: str) -> tuple[Any, PreTrainedTokenizerBase]:
    """The model, in evaluation mode, and its tokenizer.

    Raises:
        PolysenseError: there is no such model, or its checkpoint does not predict masked words.
    """
    advice = "give a checkpoint of masked-word training, e.g. bert-base-uncased or roberta-base"
    with hub_errors("backbone", source):
        config = open_auto(AutoConfig, resolve_model(source))
        if type(config) not in MODEL_FOR_MASKED_LM_MAPPING:
            raise PolysenseError(f"backbone {source}: a {config.model_type} model predicts no masked words; {advice}")
        model, random = load_weights(AutoModelForMaskedLM, "backbone", source, dtype=torch.float32)
        if missing := sorted(random):
            # transformers would fill them with random numbers, and the answers would be chance.
            raise PolysenseError(
                f"backbone {source}: the checkpoint has no weights of the head that predicts masked words "
                f"({missing[0]} and {len(missing) - 1} more); {advice}"
            )
        tokenizer = load_tokenizer(source)
        if tokenizer.mask_token_id is None or tokenizer.sep_token is None:
            raise PolysenseError(f"backbone {source}: its tokenizer has no mask or no separator; {advice}")
    return model.eval(), tokenizer


@dataclass(frozen=True)
class _Query:
    """A prompt with a word in it: token ids, and the places of the word's pieces."""

    ids: list[int]
    places: list[int]


def _filled(tokenizer: PreTrainedTokenizerBase, prompt: str, thing: NamedObject, word: str) -> _Query:
    given = {"object": thing.described, "name": thing.name, "separator": tokenizer.sep_token}
    begin = len(prompt[: prompt.index("{word}")].format(**given))
    end = begin + len(word)
    encoded = tokenizer(prompt.format(word=word, **given), return_offsets_mapping=True, truncation=True)
    offsets = encoded["offset_mapping"]
    places = [place for place, (start, stop) in enumerate(offsets) if start < end and stop > begin]
    if not places:
        raise PolysenseError(f"{thing.name[:60]!r}: the name is too long for the model; shorten it")
    return _Query(encoded["input_ids"], places)


def _word_scores(
    model: Any, tokenizer: PreTrainedTokenizerBase, queries: Sequence[_Query], batch_size: int
) -> NDArray[np.float64]:
    """(n,) log p of each query's word in its place."""
    # Words of one piece leave the same sentence when they are masked: each sentence is read once.
    asked: dict[tuple[tuple[int, ...], int], list[tuple[int, int]]] = defaultdict(list)
    for number, query in enumerate(queries):
        for first, place in enumerate(query.places):
            ids = list(query.ids)
            for later in query.places[first:]:
                ids[later] = tokenizer.mask_token_id
            asked[tuple(ids), place].append((number, query.ids[place]))
    scores = np.zeros(len(queries))
    for sentences in tqdm(list(_batches(sorted(asked, key=lambda key: len(key[0])), batch_size)), leave=False):
        inputs = tokenizer.pad({"input_ids": [list(ids) for ids, _ in sentences]}, return_tensors="pt")
        shift = [
            inputs["input_ids"].shape[1] - len(ids) if tokenizer.padding_side == "left" else 0 for ids, _ in sentences
        ]
        places = torch.tensor([place + moved for (_, place), moved in zip(sentences, shift, strict=True)])
        with torch.no_grad():
            logits = model(**inputs.to(model.device)).logits
        chosen = logits[torch.arange(len(sentences)), places.to(logits.device)].double().log_softmax(dim=-1).cpu()
        for sentence, row in zip(sentences, chosen, strict=True):
            for number, token in asked[sentence]:
                scores[number] += float(row[token])
    if not np.isfinite(scores).all():
        raise PolysenseError("the model's log-probabilities are NaN or infinite; check its weights")
    return scores


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]
