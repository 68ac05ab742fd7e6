from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from polysense.errors import PolysenseError
from polysense.vision_language.lexicon import Lexicon
from polysense.vision_language.objectives.association import UNKNOWN
from polysense.vision_language.processing import (
    PROCESSOR_FILE,
    Anchored,
    CmalProcessor,
    ProcessorSettings,
    blank,
    class_numbers,
)
from support import bert_tokenizer
from vision_language.data_folder import WIDTH, processor_of, regions_of

CAT, DOG, MAT = ("red", "cat"), ("yellow", "dog"), ("red", "mat")
LEXICON = Lexicon.default()


def pieces(processor: CmalProcessor, anchored: Anchored, number: int) -> list[str]:
    """The tokens of a phrase."""
    tokens = processor.tokenizer.convert_ids_to_tokens(anchored.input_ids)
    return [token for token, span in zip(tokens, anchored.spans, strict=True) if span == number]


def test_texts_and_regions_are_padded_and_masked():
    processor = processor_of()
    shown = [regions_of([CAT, DOG, MAT]), regions_of([]), regions_of([DOG])]
    inputs = processor(["the cat sits on the mat", "dog", "a cat"], shown)
    ids = [processor.tokenizer(text)["input_ids"] for text in ("the cat sits on the mat", "dog", "a cat")]
    assert inputs["input_ids"].shape == inputs["attention_mask"].shape == (3, 8)
    for row, expected in enumerate(ids):
        assert inputs["input_ids"][row].tolist() == expected + [0] * (8 - len(expected))
        assert inputs["attention_mask"][row].tolist() == [1] * len(expected) + [0] * (8 - len(expected))
    assert inputs["region_mask"].tolist() == [[True] * 3, [False] * 3, [True, False, False]]
    assert inputs["region_features"].shape == (3, 3, WIDTH) and inputs["region_locations"].shape == (3, 3, 7)
    assert inputs["region_features"].dtype == inputs["region_locations"].dtype == torch.float32
    for row, regions in enumerate(shown):
        count = len(regions)
        np.testing.assert_array_equal(inputs["region_features"][row, :count], regions.features)
        np.testing.assert_array_equal(inputs["region_locations"][row, :count], regions.locations)
        assert not inputs["region_features"][row, count:].any() and not inputs["region_locations"][row, count:].any()


def test_pictures_without_any_region_have_no_places():
    inputs = processor_of()(["cat", "dog"], [regions_of([]), blank(regions_of([CAT]))])
    assert inputs["region_features"].shape == (2, 0, WIDTH) and inputs["region_mask"].shape == (2, 0)


def test_only_the_first_regions_and_tokens_are_read():
    processor = processor_of(max_regions=2, max_length=4)
    regions = regions_of([CAT, DOG, MAT])
    inputs = processor(["the cat sits on the mat"], [regions])
    assert inputs["input_ids"].shape == (1, 4) and inputs["region_mask"].tolist() == [[True, True]]
    np.testing.assert_array_equal(inputs["region_features"][0], regions.features[:2])
    anchored = processor.anchor("the cat sits on the mat", regions.tags, LEXICON)
    assert anchored.regions == [[0]] and anchored.spans == [0, 0, 1, 0]
    assert processor.anchor("mat dog", regions.tags, LEXICON).regions == [[1]]  # the mat is the third region


def test_features_of_another_width_are_refused():
    with pytest.raises(PolysenseError, match="features 8 wide, but this model reads 9"):
        processor_of(region_width=9)(["cat"], [regions_of([CAT])])


def test_anchors_cover_all_pieces_of_their_words_and_nothing_else():
    processor = processor_of()
    tags = ["puppy", "cat", "fire truck", "cat", ""]
    text = "the Puppy and a fire-truck, cats!"
    anchored = processor.anchor(text, tags, LEXICON)
    assert anchored.input_ids == processor.tokenize(text)
    assert anchored.regions == [[0], [2], [1, 3]]
    assert pieces(processor, anchored, 1) == ["p", "##u", "##p", "##p", "##y"]
    assert pieces(processor, anchored, 2)[0] == "f" and pieces(processor, anchored, 2)[-1] == "##k"
    assert "".join(pieces(processor, anchored, 3)).replace("##", "") == "cats"
    assert "the" in pieces(processor, anchored, 0) and "!" in pieces(processor, anchored, 0)


def test_neighbours_without_a_space_are_no_part_of_an_anchor():
    processor = processor_of()
    anchored = processor.anchor("a.cat!dog", ["cat", "dog"], LEXICON)
    assert anchored.spans == [0, 0, 0, 1, 0, 2, 0] and anchored.regions == [[0], [1]]


def test_anchors_behind_odd_characters_are_where_they_are():
    processor = processor_of()
    for before in ("😀 👩‍👧 ", "e\u0301 ", "\ud800 \0", "ÀÉ ", "中文 "):
        anchored = processor.anchor(f"{before}cat 😀 mat", ["mat", "cat"], LEXICON)
        assert anchored.regions == [[1], [0]], before
        assert [pieces(processor, anchored, n) for n in (1, 2)] == [["cat"], ["mat"]], before
    assert processor.anchor("", ["cat"], LEXICON) == Anchored(processor.tokenize(""), [0, 0], [])


def test_an_anchor_that_was_cut_off_is_none():
    processor = processor_of(max_length=5)
    anchored = processor.anchor("a cat is on the mat", ["mat", "cat"], LEXICON)
    assert anchored.regions == [[1]] and anchored.spans == [0, 0, 1, 0, 0]


def test_anchor_inputs_against_loops():
    processor = processor_of()
    tags = [["cat", "mat", "cat"], ["dog"], []]
    texts = ["a cat and a puppy on a mat the cat", "dog dog", "cat"]
    rows = [processor.anchor(text, of, LEXICON) for text, of in zip(texts, tags, strict=True)]
    inputs = processor.anchor_inputs(rows, regions=4)
    length = max(len(row.input_ids) for row in rows)
    assert inputs["anchor_spans"].shape == (3, length) and inputs["anchor_links"].shape == (3, length, 4)
    for i, row in enumerate(rows):
        for t in range(length):
            span = row.spans[t] if t < len(row.spans) else 0
            assert inputs["anchor_spans"][i, t] == span
            for r in range(4):
                assert inputs["anchor_links"][i, t, r] == (span > 0 and r in row.regions[span - 1])
    assert inputs["anchor_links"][0].any() and inputs["anchor_links"][1].any() and not inputs["anchor_links"][2].any()


def test_class_numbers():
    numbers = class_numbers([regions_of([CAT, DOG, MAT]), regions_of([DOG])], {"dog": 1, "cat": 0}, 2)
    assert numbers.tolist() == [[0, 1], [1, UNKNOWN]]


def test_a_saved_processor_reads_the_same(tmp_path):
    processor = processor_of(max_length=7, max_regions=2, detector="grid")
    processor.save_pretrained(tmp_path / "a" / "b")
    loaded = CmalProcessor.from_pretrained(tmp_path / "a" / "b")
    assert loaded.settings == processor.settings
    regions = regions_of([CAT, DOG, MAT])
    for text in ("the yellow puppy on the mat", "😀", ""):
        got, expected = loaded([text], [regions]), processor([text], [regions])
        assert got.keys() == expected.keys() and all(torch.equal(got[k], expected[k]) for k in got)
        assert loaded.anchor(text, regions.tags, LEXICON) == processor.anchor(text, regions.tags, LEXICON)


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"width": 3}', "null", '{"region_width": 8, "other": 1}', pytest.param("[" * 200_000, id="deep")],
)
def test_a_broken_processor_file_is_said(tmp_path, content):
    (tmp_path / PROCESSOR_FILE).write_text(content)
    with pytest.raises(PolysenseError, match=f"{PROCESSOR_FILE}: cannot be read"):
        CmalProcessor.from_pretrained(tmp_path)


def test_a_folder_without_a_processor_or_a_tokenizer_is_said(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(PolysenseError, match="no vision-language model"):
            CmalProcessor.from_pretrained(folder)
    (tmp_path / PROCESSOR_FILE).write_text(json.dumps({"region_width": 8}))
    with pytest.raises(PolysenseError, match="holds no model that can be loaded"):
        CmalProcessor.from_pretrained(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(PolysenseError, match="cannot be read"):
        CmalProcessor.from_pretrained(tmp_path / "file")


def test_settings_have_the_defaults_of_the_released_code():
    assert ProcessorSettings(2048).max_length == 60
    assert CmalProcessor(bert_tokenizer(), ProcessorSettings(2048)).tokenize("cat " * 100).__len__() == 60
