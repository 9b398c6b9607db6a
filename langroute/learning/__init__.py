"""Learning from recorded outcomes: the traffic format, fitting of policies, replay, off-policy estimates, drift and analysis."""
