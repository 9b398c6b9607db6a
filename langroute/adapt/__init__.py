"""What must change in a history, and in a call's arguments, before another model can read them?

| file | question |
| --- | --- |
| `target.py` | What has to be known of a route before a history is written for it? |
| `history.py` | What must change in a history? |
| `turns.py` | Does every message stand where the target allows it? |
| `answers.py` | Whose answer is this, and what of it can the target read? |
| `blocks.py` | What does a block of content become where its own form is not read? |
| `arguments.py` | How are a call's arguments spelled for the target? |
| `memo.py` | What of this history was adapted before? |
"""

from langroute.adapt.arguments import adapt_kwargs
from langroute.adapt.history import Adapted, adapt
from langroute.adapt.target import Target, target_for

__all__ = ["Adapted", "Target", "adapt", "adapt_kwargs", "target_for"]
