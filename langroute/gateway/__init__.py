"""An HTTP endpoint for coding agents: their requests are routed like every other call, and what is sent are their own bytes."""
