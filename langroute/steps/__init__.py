"""Inspection of steps: the step kind and signals of a model call, from messages, tools and metadata."""
