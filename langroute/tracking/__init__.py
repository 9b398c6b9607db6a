"""Tracking of tasks: observed calls, outcomes, evaluators and implicit feedback."""
