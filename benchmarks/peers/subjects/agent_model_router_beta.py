"""LangChain's `ModelRouterMiddleware` (beta), with a decision model that answers at once where a real one is a call to a service."""

from __future__ import annotations

from typing import Any

from subjects.agent_loop import loop_model, loops


def looped() -> dict[str, Any]:
    from langchain.agents.middleware import ModelChoice, ModelRouterMiddleware
    from langchain_core.decisions import BaseDecisionModel, ClassifierResponse

    class AtOnce(BaseDecisionModel):  # type: ignore[misc]
        @property
        def _provider(self) -> str:
            return "none"

        def _classify(self, state: Any, questions: Any) -> Any:
            answer = {"type": "choice", "choice": "small", "probabilities": {"small": 0.9, "large": 0.1}, "confidence": 0.9}
            return ClassifierResponse.model_validate({"model": self.model, "answers": dict.fromkeys(questions, answer)})

        async def _aclassify(self, state: Any, questions: Any) -> Any:
            return self._classify(state, questions)

    choices = {name: ModelChoice(model=loop_model(name), criteria=f"For {name} tasks.") for name in ("small", "large")}
    chooser = ModelRouterMiddleware(choices=choices, instructions="Choose.", classifier=AtOnce(model="none"))
    return loops(loop_model("small"), [chooser])
