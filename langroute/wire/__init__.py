"""Requests and answers of coding agents as bytes: read for the decision, sent on as they came. No I/O."""
