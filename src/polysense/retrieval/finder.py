"""Pictures for texts, wherever they are looked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from polysense.prototypes.batch import PrototypeBatch


class Finder(ABC):
    """Finds pictures for texts.

    Attributes:
        width: d_m of a picture's feature.
        fingerprint: a digest of all that is found, and of how, as far as that can be known.
        together: texts that it is best asked for at once.
    """

    width: int
    fingerprint: str
    together: int

    @abstractmethod
    def find(self, texts: Sequence[str], k: int, on_found: Callable[[int], object] = lambda _: None) -> PrototypeBatch:
        """At most k pictures for each text that has a character other than blanks, the best first.

        Args:
            texts: valid Unicode.
            k: at least 1.
            on_found: told the number of texts done, for a progress bar.

        Returns:
            features (n, k, d_m) float32 and counts; in the place of tokens numbers for `name`, in that of saliency how
            well each fits, and no spans.
        """

    @abstractmethod
    def name(self, number: int) -> str:
        """A picture, for people to look at."""

    def report(self) -> None:  # noqa: B027
        """Say once what could not be used since the last time."""

    @abstractmethod
    def release(self) -> None:
        """Let go of memory until it is asked for."""
