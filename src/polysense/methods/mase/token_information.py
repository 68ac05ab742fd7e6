"""How much each modality says of the tokens of a text that is to be written (MASE Eq. 10 for generation)."""

from __future__ import annotations

import torch
from torch import Tensor

from polysense.processes import gather_objects

TEMPERATURES = (0.125, 0.25, 0.5, 0.75, 1.0)
"""How far a modality alone may be believed: 0 is the prior, which says nothing, and 1 its own prediction."""


def token_prior(tokens: Tensor, vocabulary: int) -> Tensor:
    """(V,) log-frequencies of tokens in a sample, as sure of the unseen ones as one token spread over all of them.

    Args:
        tokens: (N,) int64.
        vocabulary: V.
    """
    counts = torch.bincount(tokens, minlength=vocabulary).double()
    return ((counts + 1 / vocabulary) / (len(tokens) + 1)).log()


class TokenInformation:
    """I(h^m, y) = H(y) - H(y | h^m) of Eq. 10 in nats a token, added up over batches; 0 <= I <= H(y).

    H(y) is the mean surprise at the tokens of one who knows their frequencies alone, H(y | h^m) that of the model's own
    decoder, which reads modality m alone. It was trained to read all of them, so on one alone it is too sure of itself:
    `tempered` takes p(y | h) in proportion to prior(y) (q(y | h) / prior(y))^t, q the decoder's softmax, with the t of
    `TEMPERATURES` that fits the sample best, which is a lower bound of the information for every t (Barber & Agakov,
    2003). Otherwise t = 1. What falls below zero is zero: t = 0. Of a text without a prototype of the modality, the
    prior says what is known: nothing is gained there.

    Args:
        log_prior: (V,) as of `token_prior`.
        tempered: choose the temperature.
    """

    def __init__(self, log_prior: Tensor, tempered: bool = True) -> None:
        self.log_prior = log_prior.float()
        self.temperatures = TEMPERATURES if tempered else (1.0,)
        self.gained = torch.zeros(len(self.temperatures), dtype=torch.float64)
        self.tokens = 0

    def add(self, logits: Tensor, tokens: Tensor, known: Tensor) -> None:
        """Count a batch.

        Args:
            logits: (N, V) the decoder's, one row a token.
            tokens: (N,) what stands there.
            known: (N,) bool, whether the token's text has the modality at all.
        """
        self.tokens += len(tokens)
        log_prior = self.log_prior.to(logits.device)
        evidence = logits[known].float().log_softmax(dim=-1) - log_prior
        of_token = evidence.gather(1, tokens[known, None]).squeeze(1)
        for i, t in enumerate(self.temperatures):
            gained = t * of_token - torch.logsumexp(log_prior + t * evidence, dim=-1)
            self.gained[i] += gained.double().sum().cpu()

    def join(self) -> TokenInformation:
        """The same with what other processes have counted."""
        everywhere = gather_objects((self.gained, self.tokens))
        self.gained = torch.stack([gained for gained, _ in everywhere]).sum(dim=0)
        self.tokens = sum(tokens for _, tokens in everywhere)
        return self

    def value(self) -> float:
        """I(h^m, y); not a number where the decoder's logits are none."""
        if not self.tokens:
            return 0.0
        best = self.gained.max() / self.tokens  # keeps NaN
        return best.clamp(min=0.0).item()
