"""Opening where prototypes come from, by what a person writes: `--tower image=SPEC`."""

from __future__ import annotations

from polysense.cache import Store
from polysense.errors import PolysenseError
from polysense.prototypes.extractor import PrototypeExtractor, PrototypeSource
from polysense.prototypes.reading import Reading
from polysense.prototypes.trained import TRAIN, TrainedExtractor
from polysense.retrieval.spec import is_picture_spec
from polysense.towers.registry import open_tower


def open_source(
    spec: str, reading: Reading | None = None, store: Store = False, *, saved: bool = False
) -> PrototypeSource:
    """A tower (`polysense.towers.registry`), one to train, or pictures that are found (`polysense.retrieval.spec`).

    Args:
        spec: a tower's, "train:" and a tower's, or "pictures:..." or "search:...".
        reading: K and the other choices.
        store: as in `PrototypeExtractor`.
        saved: whether the spec is a saved model's: then without consent no folder of pictures that it names is read
            and no command is run (`polysense.retrieval.source.open_pictures`).

    Raises:
        PolysenseError: it cannot be opened, or needs a package that is not installed.
    """
    if spec.startswith(TRAIN):
        trained = spec.removeprefix(TRAIN)
        if is_picture_spec(trained):
            raise PolysenseError(f"tower {spec}: pictures have no text tower to train; leave train: out")
        return TrainedExtractor(open_tower(trained), reading)
    if not is_picture_spec(spec):
        return PrototypeExtractor(open_tower(spec), reading, store)
    try:
        from polysense.retrieval.source import open_pictures
    except ImportError as error:
        raise PolysenseError(f"tower {spec}: pictures need {error.name}: pip install 'polysense[align]'") from error
    return open_pictures(spec, reading, store, saved=saved)
