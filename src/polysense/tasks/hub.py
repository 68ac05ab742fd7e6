"""Data sets from the Hugging Face hub, with a quick and clear end where it cannot be reached."""

from __future__ import annotations

import datasets
from datasets import DatasetDict
from huggingface_hub import constants

from polysense.errors import PolysenseError
from polysense.loading import hub_answers


def load_from_hub(repository: str, configuration: str, advice: str) -> DatasetDict:
    """A data set of the hub, or of its cache on this machine where the hub does not answer.

    Args:
        repository: e.g. "nyu-mll/glue".
        configuration: e.g. "sst2".
        advice: what to do instead; ends the error's line.

    Raises:
        PolysenseError: neither the hub nor the cache has it.
    """
    offline = datasets.config.HF_HUB_OFFLINE
    try:
        if not offline and not hub_answers():
            # Left online, `datasets` retries for about half a minute before it looks into its cache.
            datasets.config.HF_HUB_OFFLINE = True
        return datasets.load_dataset(repository, configuration)
    except Exception as error:  # the hub, its client and the file system each have their own
        reason = (
            f"the hub at {constants.ENDPOINT} cannot be reached"
            if isinstance(error, ConnectionError)
            else f"the hub did not give it ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        )
        raise PolysenseError(f"{repository} ({configuration}): {reason}; {advice}") from error
    finally:
        datasets.config.HF_HUB_OFFLINE = offline
