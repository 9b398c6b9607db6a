"""Demo: a coding agent on small local models, run with the cheap model, the frontier model and routing, and compared."""
