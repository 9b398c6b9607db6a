"""Adaptation of message histories and call arguments to the model that will read them.

| file | what is in it |
| --- | --- |
| `target.py` | The facts about a route that decide how a history is written for it |
| `history.py` | `adapt`: a history made fit for a target |
| `turns.py` | The order of messages: tool results, system messages, empty messages |
| `answers.py` | Model messages: what a target can read of another model's answer |
| `calls.py` | Ids and names of tool calls |
| `blocks.py` | Content blocks, converted between providers' formats |
| `media.py` | Images, audio, videos and files, read from any provider's blocks |
| `arguments.py` | Call arguments, translated to the target's names and values |
| `own_tools.py` | Providers' own tools: which of the bound tools a route can run |
| `repair.py` | Malformed messages, reduced to what can be understood |
| `memo.py` | Memory of histories that were adapted before |
"""

from langroute.adapt.arguments import adapt_kwargs
from langroute.adapt.history import Adapted, adapt
from langroute.adapt.own_tools import named_choice, split_tools, told
from langroute.adapt.target import Target, target_for

__all__ = ["Adapted", "Target", "adapt", "adapt_kwargs", "named_choice", "split_tools", "target_for", "told"]
