"""Routes: chat models with name, price, capabilities and tier."""
