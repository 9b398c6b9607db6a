"""Verifier on the mean log-probability of the answer's tokens."""

from __future__ import annotations

import math
from typing import Any

from langroute.core.records import Attempt, Request, Verdict

LEAST = -1e6
"""Lower bound that log-probabilities are clipped to."""


class LogProb:
    """Accept an answer whose tokens have at least a given mean log-probability.

    The model must return log-probabilities (`logprobs=True`); an answer without them is not rejected, and the verdict says so.

    Source: Gupta et al., Language Model Cascades: Token-level uncertainty (2024), section 3.

    Args:
        minimum: Lowest accepted mean log-probability, in nats per token: 0 is certain, -0.1 is a (geometric) mean probability of 90 %.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> from langroute.core.records import Selection
        >>> sure = AIMessage("42", response_metadata={"logprobs": {"content": [{"token": "42", "logprob": -0.01}]}})
        >>> LogProb(-0.1).verify(Request("6 * 7?"), Attempt(Selection("small"), sure)).score > 0.9
        True
    """

    name = "logprob"

    def __init__(self, minimum: float = -0.5) -> None:
        if minimum > 0:
            from langroute.core.errors import ConfigurationError

            raise ConfigurationError(f"A log-probability is at most 0, not {minimum}.")
        self.minimum = minimum

    def verify(self, request: Request, attempt: Attempt) -> Verdict:
        """Return score 0 below the limit, else one from 0.5 to 1 that rises with the mean log-probability."""
        mean = mean_logprob(attempt.answer)
        if mean is None:
            return Verdict(self.name, 1.0, error="the answer has no log-probabilities; ask the model for logprobs=True")
        if mean < self.minimum:
            return Verdict(self.name, 0.0, f"mean log-probability {mean:.3f} is below {self.minimum:.3f}")
        # Half of the scale lies above the limit: a cascade's default threshold, 0.5, accepts what the limit accepts.
        return Verdict(self.name, 0.5 + 0.5 * math.exp(min(0.0, mean)), f"mean log-probability {mean:.3f}")


def mean_logprob(answer: Any) -> float | None:
    """Return the mean log-probability of an answer's tokens, in nats; `None` where the provider gave none."""
    logprobs = (getattr(answer, "response_metadata", None) or {}).get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else logprobs
    if not isinstance(content, (list, tuple)):
        return None
    values = [token.get("logprob") for token in content if isinstance(token, dict)]
    # A server may send anything: NaN is left out, and the rest is clipped to the range of a log-probability.
    known = [min(max(value, LEAST), 0.0) for value in values if isinstance(value, (int, float)) and value == value]
    return sum(known) / len(known) if known else None
