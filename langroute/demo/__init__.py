"""What does routing save on a real agent? A coding agent on small models, run cheap, frontier and routed, and compared."""
