"""CLIP's tokenizer against byte-pair encoding written out slowly, and where its file comes from.

Known to differ from OpenAI's code, as Hugging Face's tokenizer always has: a Greek word in capitals that ends in sigma,
the combining iota below, and letters newer than the tokenizer's tables of Unicode.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import os
import sys
import unicodedata
import zipfile
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import regex
from transformers import AutoTokenizer, CLIPTokenizer

from polysense.errors import PolysenseError
from polysense.towers.clip_tokenizer import BPE_FILE, bpe_file, clip_tokenizer

DATA = Path(os.environ.get("POLYSENSE_DATA") or Path(__file__).parents[3] / "shared" / "data")
TEXTS = [
    "a photo of a cat",
    "It's what they're saying, isn't it? I'd've said so; we'll see -- he's 'tis",
    "CAPITALS and MiXeD case, 12345 numbers, 3.14, x2y, snake_case, e-mail@example.org",
    "white \t space\nof \r\n all   kinds\u00a0here\u3000there",
    "naïve café, Ærøskøbing, Straße, ĐẶNG, İstanbul",
    "Привет, мир! Γειά σου κόσμε. שלום עולם مرحبا بالعالم नमस्ते दुनिया สวัสดีชาวโลก",
    "日本語のテキスト。中文字符,한국어 문장",
    "😀 😂😂😂 👩‍👩‍👧‍👦 🇩🇪 ❤️ 🍌🍌 #️⃣ — “quotes” … ½ ² ①",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis " + "ab" * 150,
    "!!! ??? ... ,,, *** ((([[[{{{ <b>html</b> &amp; &lt; '' ''' 's'",
    "a\u0301 e\u0308 decomposed",
    "",
    " ",
]


@pytest.fixture(scope="module")
def bpe() -> Path:
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        pytest.skip(f"no {BPE_FILE}: open-clip-torch is not installed")
    return Path(spec.origin).parent / BPE_FILE


@pytest.fixture(scope="module")
def tokenizer(bpe: Path) -> CLIPTokenizer:
    return clip_tokenizer(bpe)


class SlowBytePairs:
    """Sennrich et al. (2016) over bytes, with an end mark on each word's last one, from the list of merges.

    Of the pairs that stand side by side in a word, the one that is highest in the list is joined wherever it stands,
    until none is in the list. Ids: the 256 bytes, the same at a word's end, the joined pairs in the list's order.
    """

    WORD = regex.compile(
        r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+", regex.IGNORECASE
    )

    def __init__(self, file: Path) -> None:
        lines = gzip.decompress(file.read_bytes()).decode("utf-8").split("\n")
        pairs = [tuple(line.split(" ")) for line in lines[1:48_895]]
        # Printable bytes of Latin-1 stand for themselves; the others, in their order, for the characters from 256 on.
        printable = [b for b in range(256) if chr(b).isprintable() and b not in (32, 160)]
        others = [b for b in range(256) if b not in printable]
        self.letter = {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}
        letters = [self.letter[b] for b in [*printable, *others]]
        pieces = letters + [letter + "</w>" for letter in letters] + [a + b for a, b in pairs]
        self.ids = {piece: i for i, piece in enumerate(pieces)}
        self.rank = {pair: i for i, pair in enumerate(pairs)}
        self.word = cache(self.word)  # type: ignore[method-assign]

    def word(self, word: str) -> list[int]:
        parts = [self.letter[b] for b in word.encode("utf-8")]
        parts[-1] += "</w>"
        while pairs := [pair for pair in pairwise(parts) if pair in self.rank]:
            best = min(pairs, key=self.rank.__getitem__)
            joined: list[str] = []
            for part in parts:
                if joined and (joined[-1], part) == best:
                    joined[-1] += part
                else:
                    joined.append(part)
            parts = joined
        return [self.ids[part] for part in parts]

    def __call__(self, text: str) -> list[int]:
        words = self.WORD.findall(" ".join(text.split()).lower())
        return [49_406, *(token for word in words for token in self.word(word)), 49_407]


@pytest.fixture(scope="module")
def slow(bpe: Path) -> SlowBytePairs:
    return SlowBytePairs(bpe)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("a photo of a cat", [320, 1125, 539, 320, 2368]),
        ("A  Photo\nof a CAT", [320, 1125, 539, 320, 2368]),
        ("hello world!", [3306, 1002, 256]),
        ("a diagram", [320, 22697]),
        ("", []),
    ],
)
def test_known_tokenisations(tokenizer: CLIPTokenizer, slow: SlowBytePairs, text: str, ids: list[int]) -> None:
    assert tokenizer(text).input_ids == [49_406, *ids, 49_407] == slow(text)


def test_special_tokens(tokenizer: CLIPTokenizer) -> None:
    assert tokenizer.is_fast
    assert len(tokenizer) == 49_408
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (49_406, 49_407, 49_407)
    assert tokenizer.model_max_length == 77
    padded = tokenizer(["a cat", "a"], padding=True)
    assert padded.input_ids[1] == [49_406, 320, 49_407, 49_407]
    assert padded.attention_mask[1] == [1, 1, 1, 0]
    cut = tokenizer("cat " * 100, truncation=True).input_ids
    assert (len(cut), cut[-1]) == (77, 49_407)


@pytest.mark.parametrize("text", TEXTS)
def test_texts_of_all_kinds(tokenizer: CLIPTokenizer, slow: SlowBytePairs, text: str) -> None:
    assert tokenizer(text).input_ids == slow(unicodedata.normalize("NFC", text))


@pytest.mark.parametrize(("folder", "key"), [("sst2", "sentence"), ("squad_v2", "context"), ("qqp", "question1")])
def test_real_texts(tokenizer: CLIPTokenizer, slow: SlowBytePairs, folder: str, key: str) -> None:
    files = sorted((DATA / folder).glob("*.jsonl.gz"))
    if not files:
        pytest.skip(f"no folder {folder} in $POLYSENSE_DATA or ../shared/data")
    texts: list[str] = []
    with gzip.open(files[0], "rt", encoding="utf-8") as lines:
        for row, line in zip(range(1500), lines, strict=False):
            if row % 3 == 0:
                texts.append(json.loads(line)[key])
    assert len(set(texts)) > 50
    assert tokenizer(texts, verbose=False).input_ids == [slow(text) for text in texts]


def test_offsets(tokenizer: CLIPTokenizer) -> None:
    """Each token's place in the text; the bytes of one character share its place."""
    text = "It's  a CAFÉ:\n日 ok"
    places = tokenizer(text, return_offsets_mapping=True).offset_mapping
    assert [text[a:b] for a, b in places] == ["", "It", "'s", "a", "CAFÉ", ":", "日", "ok", ""]
    emoji = "x 🪿 y"
    encoded = tokenizer(emoji, return_offsets_mapping=True)
    tokens = zip(encoded.input_ids[1:-1], encoded.offset_mapping[1:-1], strict=True)
    assert [emoji[a:b] for _, (a, b) in tokens] == ["x", *["🪿"] * (len(encoded.input_ids) - 4), "y"]
    assert len(encoded.input_ids) > 5


def test_saved_and_loaded(tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert type(loaded) is CLIPTokenizer
    assert loaded(TEXTS).input_ids == tokenizer(TEXTS).input_ids
    assert loaded.model_max_length == 77
    assert loaded.pad_token_id == 49_407


def test_another_context(bpe: Path) -> None:
    assert clip_tokenizer(bpe, context=248).model_max_length == 248


# Where the file comes from.


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without open_clip, with an empty cache folder; pip is a program that a test writes."""
    monkeypatch.setenv("POLYSENSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    pip(tmp_path, monkeypatch, "echo 'ERROR: no such package' >&2; exit 1")
    return tmp_path


def pip(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A stand-in for Python, called as `python -m pip download ... --dest FOLDER PACKAGE`."""
    program = folder / "python"
    program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/log\nwhile [ "$1" != --dest ]; do shift; done\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


def wheel(folder: Path, content: bytes | None) -> Path:
    file = folder / "open_clip_torch-3.3.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("open_clip/__init__.py", "raise RuntimeError('nothing of it may be run')")
        if content is not None:
            archive.writestr(f"open_clip/{BPE_FILE}", content)
    return file


def test_given_file(tmp_path: Path, bpe: Path) -> None:
    assert bpe_file(bpe) == bpe
    with pytest.raises(PolysenseError, match=f"^{tmp_path}/absent: no such file; it should be OpenAI's {BPE_FILE}$"):
        bpe_file(tmp_path / "absent")


def test_wrong_file(tmp_path: Path) -> None:
    file = tmp_path / BPE_FILE
    file.write_bytes(gzip.compress(b"a b\n"))
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(PolysenseError, match=f"^{file} is not OpenAI's {BPE_FILE}: its SHA-256 is {found}, not 9246"):
        clip_tokenizer(file)


def test_installed_package(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found, never imported; one without the file is passed over."""
    package = bare / "site" / "open_clip"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.undo()
    monkeypatch.setenv("POLYSENSE_CACHE", str(bare / "cache"))
    monkeypatch.setattr(sys, "path", [str(bare / "site"), *sys.path])
    importlib.invalidate_caches()
    (bare / "cache").mkdir()
    (bare / "cache" / BPE_FILE).write_bytes(b"kept")
    assert bpe_file() == bare / "cache" / BPE_FILE
    (package / BPE_FILE).write_bytes(b"installed")
    assert bpe_file() == package / BPE_FILE


def test_fetched_once(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip(bare, monkeypatch, f'cp {wheel(bare, b"pairs")} "$2"')
    for _ in range(2):
        file = bpe_file()
        assert file == bare / "cache" / BPE_FILE
        assert file.read_bytes() == b"pairs"
    (call,) = (bare / "log").read_text().splitlines()
    assert call.startswith("-m pip download ")
    assert "--no-deps" in call
    assert call.endswith(" open-clip-torch==3.3.0")
    assert list((bare / "cache").iterdir()) == [file]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'WARNING: slow' >&2; echo 'ERROR: no such package' >&2; exit 1", r"\(ERROR: no such package\)"),
        ("exit 1", r"\(it said nothing\)"),
        ("exit 0", r"\(it said nothing\)"),
    ],
)
def test_pip_fails(bare: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str) -> None:
    pip(bare, monkeypatch, script)
    with pytest.raises(
        PolysenseError, match=f"pip cannot fetch open-clip-torch==3.3.0, which carries it {said}; check"
    ):
        clip_tokenizer()
    assert list((bare / "cache").iterdir()) == []


@pytest.mark.parametrize("content", ["no wheel", "without the file"])
def test_strange_wheel(bare: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    file = wheel(bare, None)
    if content == "no wheel":
        file.write_bytes(b"no zip")
    pip(bare, monkeypatch, f'cp {file} "$2"')
    with pytest.raises(PolysenseError, match=f"{BPE_FILE} cannot be put there .*pip install --no-deps open-clip-torch"):
        bpe_file()
    assert list((bare / "cache").iterdir()) == []


def test_no_cache_folder(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "cache").write_text("a file")
    with pytest.raises(PolysenseError, match="set POLYSENSE_CACHE to another folder") as caught:
        bpe_file()
    assert "\n" not in str(caught.value)


@pytest.mark.network
def test_fetched_from_the_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYSENSE_CACHE", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert len(clip_tokenizer()) == 49_408
