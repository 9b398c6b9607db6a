"""Hosts: the chat model, the LangGraph node and edge, the agent middleware, and caching for them."""
