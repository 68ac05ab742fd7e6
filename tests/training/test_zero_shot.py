from types import SimpleNamespace

import numpy as np
import pytest
import torch
import typer
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    CLIPTextModelWithProjection,
    GPT2Config,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaTokenizer,
)
from typer.testing import CliRunner

from polysense.cli.probe import probe
from polysense.errors import PolysenseError
from polysense.tasks.objects import NamedObject
from polysense.tasks.zero_shot import class_sentence
from polysense.towers.registry import open_tower
from polysense.training import zero_shot
from polysense.training.zero_shot import zero_shot_masked, zero_shot_tower
from support import bert_tokenizer

PROMPTS = ("the color of {object} {separator} is {word} .", "{word} {name} !")
OBJECTS = {
    "train": [NamedObject("zebra", "a", 0)],
    "validation": [NamedObject("cat", "a", 0), NamedObject("dog", "the", 2), NamedObject("banana", "", 1)],
    "test": [NamedObject("banana", "a", 1), NamedObject("cat", "", 0)],
}
WORDS = ("red", "purple", "yellow")


def save(model_class, tokenizer, folder, config_class=BertConfig):
    torch.manual_seed(0)
    config = config_class(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        initializer_range=0.7,
        pad_token_id=tokenizer.pad_token_id,
    )
    model_class(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def task(monkeypatch):
    task = SimpleNamespace(
        attribute="color", label_names=WORDS, objects=lambda data_dir: (OBJECTS, [f"from {data_dir}"])
    )
    monkeypatch.setattr(zero_shot, "object_task", lambda _: task)
    monkeypatch.setitem(zero_shot.PROMPTS, "color", PROMPTS)
    return task


def spaced_tokenizer():
    """RoBERTa's kind, where the space before a word is part of its first piece."""
    letters = [chr(c) for c in range(33, 127)]
    merges = [("\u0120", letter) for letter in letters]
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "\u0120", *letters, *(a + b for a, b in merges)]
    return RobertaTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=merges, model_max_length=62)


def log_p(model, tokenizer, before, word, after):
    """log p of a word in its place, one piece after another."""
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (before, word, after)]
    start, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    total = 0.0
    for known in range(len(ids[1])):
        hidden = ids[1][:known] + [tokenizer.mask_token_id] * (len(ids[1]) - known)
        sentence = torch.tensor([[start, *ids[0], *hidden, *ids[2], end]])
        with torch.no_grad():
            logits = model(sentence).logits[0, 1 + len(ids[0]) + known]
        total += float(logits.log_softmax(-1)[ids[1][known]])
    return total


@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.usefixtures("task")
def test_scores_are_mean_accuracies_over_the_prompts(tmp_path, family):
    if family == "bert":
        tokenizer, model_class, config_class = bert_tokenizer(64), BertForMaskedLM, BertConfig
    else:
        tokenizer, model_class, config_class = spaced_tokenizer(), RobertaForMaskedLM, RobertaConfig
    folder = save(model_class, tokenizer, tmp_path / "model", config_class)
    model = model_class.from_pretrained(folder).eval()
    found = zero_shot_masked(folder, "any", tmp_path, batch_size=3)
    gap = "" if family == "bert" else " "
    for split in ("validation", "test"):
        things = OBJECTS[split]
        candidates = range(len(WORDS))
        for prompt in PROMPTS:
            before, after = prompt.split("{word}")
            right = 0
            for thing in things:
                given = {"object": thing.described, "name": thing.name, "separator": tokenizer.sep_token}
                # A byte-level tokenizer counts the space before a word as its own.
                space = gap if before else ""
                head = before.format(**given).rstrip()
                scores = {c: log_p(model, tokenizer, head, space + WORDS[c], after.format(**given)) for c in candidates}
                right += max(scores, key=scores.get) == thing.label
            assert found["prompts"][split][prompt] == pytest.approx(right / len(things)), (split, prompt)
        by = list(found["prompts"][split].values())
        assert found["scores"][split] == pytest.approx(np.mean(by))
        assert found["deviations"][split] == pytest.approx(np.std(by, ddof=1))
    assert set(found["scores"]) == {"validation", "test"}
    assert found["objects"] == {"validation": 3, "test": 2}
    assert found["notes"][0] == f"from {tmp_path}"
    assert any("several pieces" in note for note in found["notes"])


def test_the_log_probability_of_each_word(tmp_path):
    tokenizer = bert_tokenizer(64)
    folder = save(BertForMaskedLM, tokenizer, tmp_path / "model")
    model, read = zero_shot._masked_model(folder)
    thing = NamedObject("cat", "a", 0)
    queries = [zero_shot._filled(read, prompt, thing, word) for prompt in PROMPTS for word in ("cat", "zigzag")]
    assert {len(query.places) for query in queries} == {1, 6}
    given = {"object": "a cat", "name": "cat", "separator": "[SEP]"}
    expected = [
        log_p(model, tokenizer, before.format(**given), word, after.format(**given))
        for before, after in (prompt.split("{word}") for prompt in PROMPTS)
        for word in ("cat", "zigzag")
    ]
    for size in (1, 5):
        assert zero_shot._word_scores(model, read, queries, size) == pytest.approx(expected, rel=1e-4)


def refused(source):
    with pytest.raises(PolysenseError) as caught:
        zero_shot_masked(source, "any")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.usefixtures("task")
def test_a_checkpoint_that_predicts_no_words_is_refused(tmp_path):
    message = refused(save(BertModel, bert_tokenizer(), tmp_path / "trunk"))
    assert "no weights of the head that predicts masked words" in message
    assert "masked-word training" in message
    GPT2Config(vocab_size=10).save_pretrained(tmp_path / "gpt")
    assert "a gpt2 model predicts no masked words" in refused(str(tmp_path / "gpt"))
    assert "no weights of the head" in refused("minilm")


def test_a_tower_is_asked_by_cosine(task, clip_folder):
    names = ["cat", "dog", "ape", "hen", "owl", "bus", "ink", "x", "jay", "gem", "kit", "rim"]
    things = [NamedObject(name * n, ("a", "the", "")[n % 3], ord(name[-1]) % 3) for name in names for n in (1, 2)]
    task.objects = lambda _: ({"validation": things[:12], "test": things[12:]}, [])
    found = zero_shot_tower(str(clip_folder), "any")
    tower = open_tower(str(clip_folder))
    model = CLIPTextModelWithProjection.from_pretrained(clip_folder).eval()

    def feature(text):
        ids = torch.tensor([tower.tokenizer(text)["input_ids"]])
        with torch.no_grad():
            return torch.nn.functional.normalize(model(ids).text_embeds[0], dim=-1)

    for split, things in task.objects(None)[0].items():
        candidates = range(len(WORDS))
        right = 0
        for thing in things:
            nearness = {c: feature(thing.described) @ feature(class_sentence(thing, WORDS[c])) for c in candidates}
            right += max(nearness, key=nearness.get) == thing.label
        assert found["scores"][split] == pytest.approx(right / len(things))
    assert (found["task"], found["model"]) == ("any", str(clip_folder))


def test_a_split_without_some_of_the_classes_says_among_how_many_it_is_asked(task, clip_folder):
    """A class that no object has can be chosen, wrongly."""
    things = [NamedObject(name, "a", label) for name, label in (("cat", 0), ("dog", 2), ("banana", 0))]
    task.objects = lambda _: (
        {"train": things, "validation": [*things, NamedObject("bird", "a", 1)], "test": things},
        [],
    )
    found = zero_shot_tower(str(clip_folder), "any")
    assert found["notes"] == ["test: asked among 3 classes, its objects have 2"]
    chosen = np.zeros((3, 1, 3))
    chosen[:, :, 1] = 1
    assert zero_shot._accuracies({"test": things}, chosen)["test"] == 0


@pytest.mark.usefixtures("task")
def test_the_verb(tmp_path):
    app = typer.Typer()
    app.command()(probe)
    folder = save(BertForMaskedLM, bert_tokenizer(64), tmp_path / "model")
    run = CliRunner().invoke(app, ["--task", "any", "--backbone", folder])
    assert run.exit_code == 0, run.output
    assert "deviation over prompts" in run.output and "validation" in run.output
    for flags in ([], ["--backbone", folder, "--tower", "image"]):
        run = CliRunner().invoke(app, ["--task", "any", *flags])
        assert isinstance(run.exception, PolysenseError) and "not both" in str(run.exception)


@pytest.mark.parametrize("tower", ["pictures:/nope", "search:find {}", "train:image"])
def test_what_is_no_tower_as_it_is_cannot_be_probed(tower: str) -> None:
    with pytest.raises(PolysenseError, match="cannot be probed, only text towers as they are: image, audio") as told:
        zero_shot_tower(tower, "coda")
    assert str(told.value).startswith(f"tower {tower}: ") and "\n" not in str(told.value)
