"""From a checkpoint of the papers to a small folder of Hugging Face's format, which `open_tower` opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from polysense.errors import PolysenseError
from polysense.folder import check_free, read_json, whole_folder
from polysense.towers.checkpoints import read_checkpoint
from polysense.towers.clip_tokenizer import VOCABULARY, clip_tokenizer

MODEL_CONFIG = "config.json"

TOWER_FIELD = "polysense_tower"
"""The entry of config.json that says where a tower comes from: `{"family": ..., "modality": ...}`."""


def convert(
    source: str | Path,
    output: str | Path,
    family: str | None = None,
    bpe: str | Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write the text tower of a checkpoint as a folder: config.json, model.safetensors (float32), CLIP's tokenizer.

    Args:
        source: see `read_checkpoint`.
        output: the folder; it appears whole, at the end.
        family: a key of `checkpoints.CHECKPOINT_FAMILIES`; None: told from the file.
        bpe: OpenAI's file of byte pairs; None: see `bpe_file`.
        overwrite: whether a converted tower that is already there may be replaced.

    Returns:
        what was converted: `source` (the file), `output`, `family`, `modality`, and the sizes `layers`, `width`,
        `heads`, `feed_forward`, `context`, `vocabulary`, `projection` and `parameters`.

    Raises:
        PolysenseError: as `read_checkpoint` and `clip_tokenizer` do; the vocabulary is not that of OpenAI's tokenizer;
            or `output` holds something else.
    """
    output = Path(output)
    if (output / MODEL_CONFIG).exists() and not _is_converted(output):
        raise PolysenseError(f"{output} holds a model that was not converted here: choose another folder")
    check_free(output, overwrite, MODEL_CONFIG)
    checkpoint = read_checkpoint(Path(source), family)
    config = checkpoint.config
    if config.vocab_size != VOCABULARY:
        raise PolysenseError(
            f"{checkpoint.file}: its vocabulary has {config.vocab_size:,} tokens, OpenAI's tokenizer {VOCABULARY:,}; "
            "convert a model that was trained with OpenAI's"
        )
    tokenizer = clip_tokenizer(None if bpe is None else Path(bpe), config.max_position_embeddings)
    origin = {"family": checkpoint.family, "modality": checkpoint.modality}
    setattr(config, TOWER_FIELD, origin)
    model = checkpoint.model()
    with whole_folder(output) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return {
        "source": str(checkpoint.file),
        "output": str(output),
        **origin,
        "layers": config.num_hidden_layers,
        "width": config.hidden_size,
        "heads": config.num_attention_heads,
        "feed_forward": config.intermediate_size,
        "context": config.max_position_embeddings,
        "vocabulary": config.vocab_size,
        "projection": config.projection_dim,
        "parameters": model.num_parameters(),
    }


def _is_converted(folder: Path) -> bool:
    try:
        return TOWER_FIELD in read_json(folder / MODEL_CONFIG)
    except (ValueError, TypeError):
        return False
