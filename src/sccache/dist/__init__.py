"""Distributed compilation: a scheduler, workers, and what a client needs of them."""
