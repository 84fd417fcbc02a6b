"""Helpers that know nothing of compiler caches."""
