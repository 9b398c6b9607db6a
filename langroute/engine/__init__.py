"""Execution engine of a step: plan, drivers, streams, timeouts, eligibility and accounting."""
