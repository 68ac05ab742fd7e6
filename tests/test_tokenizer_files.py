"""A tokenizer is read from its own folder, whatever files its settings name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

import support
from polysense.errors import PolysenseError
from polysense.loading import open_auto
from polysense.models.processing import PolysenseProcessor
from polysense.towers.tower import load_tokenizer

SECRET = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhunter2\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tokenizer with no more settings than it needs, as old ones have it, beside a text that is none of its own."""
    made = support.save_bert(tmp_path / "model")
    tokens = sorted((vocabulary := support.bert_tokenizer().get_vocab()), key=lambda token: vocabulary[token])
    (made / "vocab.txt").write_text("\n".join(tokens))
    (made / "tokenizer.json").unlink()
    (tmp_path / "secret").write_text(SECRET)
    return made


def settle(folder: Path, name: str, settings: dict[str, Any]) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    (folder / name).write_text(json.dumps({"tokenizer_class": "BertTokenizer", **settings}))


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vocab_file", "{outside}/secret"),
        ("vocab_file", "{folder}/../secret"),
        ("vocab_file", "secret"),  # from where the program runs
        ("tokenizer_file", "{outside}/secret"),
        ("merges_file", "{outside}/secret"),
        ("spm_file", "{outside}/secret"),
        ("source_spm", "{outside}/secret"),
        ("vocab", "{outside}/secret"),
        ("init_inputs", ["{outside}/secret"]),
        ("vocab_file", "/dev/zero"),
    ],
)
def test_a_file_outside_is_not_read(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, key: str, value: str | list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = json.dumps(value).replace("{outside}", str(tmp_path)).replace("{folder}", str(folder))
    settle(folder, name, {key: json.loads(text)})
    with pytest.raises(PolysenseError, match=f"its '{key}' is '.*', a file outside the folder") as caught:
        open_auto(AutoTokenizer, folder)
    assert str(caught.value).startswith(f"{folder / name}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("opened", [load_tokenizer, PolysenseProcessor.from_backbone])
def test_wherever_a_tokenizer_is_opened(tmp_path: Path, folder: Path, opened: Callable[[str], object]) -> None:
    settle(folder, "tokenizer_config.json", {"vocab_file": str(tmp_path / "secret")})
    with pytest.raises(PolysenseError, match="its 'vocab_file' is"):
        opened(str(folder))


def test_what_hubs_have_is_read(tmp_path: Path, folder: Path) -> None:
    """Places in another machine's cache, a token that names a file, a folder; and links, as the hub's own cache has."""
    (folder / "vocab.txt").rename(tmp_path / "blob")
    (folder / "vocab.txt").symlink_to(tmp_path / "blob")
    stale = "/root/.cache/huggingface/none/tokenizer.json"
    settings = {"merges_file": None, "spm_file": stale, "special_tokens_map_file": str(tmp_path / "secret")}
    settings |= {"name_or_path": str(tmp_path), "unk_token": "[UNK]", "source_spm": str(tmp_path)}
    settle(folder, "tokenizer_config.json", {**settings, "vocab_file": str(folder / "vocab.txt")})
    assert "hunter2" not in open_auto(AutoTokenizer, folder).get_vocab()
