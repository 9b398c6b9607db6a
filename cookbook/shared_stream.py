"""Three people ask the same at the same time: one call is made, and all three see it being written.

This needs only a response cache. A caller that arrives while a stream is running receives it from its first word on, as chunks of a
separate call that costs nothing. Here the first caller, who started the call, closes the window after three words; the others get the
whole answer, and it is cached.

Output:
    Ann left after:  Open the settings,
    Ben read:        Open the settings, choose Security, and follow the steps there.
    Cleo read:       Open the settings, choose Security, and follow the steps there.
    Ben paid 0.00 USD (hit), Cleo paid 0.00 USD (hit); the model was called 1 time.
    Dora, later:     hit
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from langroute import ChatRouter
from langroute.testing import ScriptedModel

QUESTION = "How do I reset my password?"


class Typing(ScriptedModel):
    """A model that pauses between words."""

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        for chunk in super()._stream(*args, **kwargs):
            time.sleep(0.05)
            yield chunk


async def main() -> None:
    """Ask three times at once, and once later."""
    # With a real model:
    #   model = ChatRouter({"small": "openai:gpt-5-mini"}, response_cache=True)
    support = Typing("Open the settings, choose Security, and follow the steps there.")
    model = ChatRouter({"small": support}, response_cache=True, prices={"small": {"input": 1, "output": 2}})
    begun = asyncio.Event()

    async def ann() -> str:
        stream, seen = model.astream(QUESTION), ""
        async for chunk in stream:
            seen += chunk.content
            begun.set()
            if len(seen.split()) == 3:
                break
        await stream.aclose()
        return seen

    async def reader() -> Any:
        await begun.wait()
        whole: Any = None
        async for chunk in model.astream(QUESTION):
            whole = chunk if whole is None else whole + chunk
        return whole

    left, ben, cleo = await asyncio.gather(ann(), reader(), reader())
    print(f"{'Ann left after:':16} {left}")
    print(f"{'Ben read:':16} {ben.content}")
    print(f"{'Cleo read:':16} {cleo.content}")
    paid = [message.response_metadata["langroute"] for message in (ben, cleo)]
    first, second = (f"{mark['cost_usd']:.2f} USD ({mark['cache']})" for mark in paid)
    print(f"Ben paid {first}, Cleo paid {second}; the model was called {len(support.calls)} time.")
    await asyncio.sleep(0.1)
    later = await model.ainvoke(QUESTION)
    print(f"{'Dora, later:':16} {later.response_metadata['langroute']['cache']}")


if __name__ == "__main__":
    asyncio.run(main())
