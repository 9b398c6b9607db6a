"""How sure was the model of its own words?"""

from __future__ import annotations

import math
from typing import Any

from langroute.records import Attempt, Request, Verdict


class LogProb:
    """The mean log-probability of the answer's tokens is above a limit.

    The model must be asked for it (`logprobs=True`); an answer without it is not rejected, and the verdict says so.

    Source: Gupta et al., Language Model Cascades: Token-level uncertainty (2024), section 3.

    Args:
        minimum: Lowest mean log-probability, in nats a token: 0 is certain, -0.1 is a mean probability of 90 %.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> from langroute.records import Selection
        >>> sure = AIMessage("42", response_metadata={"logprobs": {"content": [{"token": "42", "logprob": -0.01}]}})
        >>> LogProb(-0.1).verify(Request("6 * 7?"), Attempt(Selection("small"), sure)).score > 0.9
        True
    """

    name = "logprob"

    def __init__(self, minimum: float = -0.5) -> None:
        if minimum > 0:
            from langroute.errors import ConfigurationError

            raise ConfigurationError(f"A log-probability is at most 0, not {minimum}.")
        self.minimum = minimum

    def verify(self, request: Request, attempt: Attempt) -> Verdict:
        """Compare the mean with the limit; an accepted answer scores from 0.5 to 1, the surer the higher."""
        mean = mean_logprob(attempt.answer)
        if mean is None:
            return Verdict(self.name, 1.0, error="the answer has no log-probabilities; ask the model for logprobs=True")
        if mean < self.minimum:
            return Verdict(self.name, 0.0, f"mean log-probability {mean:.3f} is below {self.minimum:.3f}")
        # Half of the scale lies above the limit: a cascade's default threshold, 0.5, accepts what the limit accepts.
        return Verdict(self.name, 0.5 + 0.5 * math.exp(min(0.0, mean)), f"mean log-probability {mean:.3f}")


def mean_logprob(answer: Any) -> float | None:
    """Mean log-probability of an answer's tokens, in nats; `None` where the provider gave none."""
    logprobs = (getattr(answer, "response_metadata", None) or {}).get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else logprobs
    values = [
        token["logprob"] for token in content or () if isinstance(token, dict) and isinstance(token.get("logprob"), (int, float))
    ]
    return sum(values) / len(values) if values else None
