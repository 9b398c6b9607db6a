"""Send each step of a LangChain or LangGraph agent to the cheapest model that will do."""

from langroute._version import __version__

__all__ = ["__version__"]
