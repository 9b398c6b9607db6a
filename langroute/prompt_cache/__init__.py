"""Providers' prompt caches: their expected contents, and the cost of switching routes."""
