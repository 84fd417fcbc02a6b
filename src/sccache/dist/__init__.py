"""Distributed compilation: scheduler, workers, and the client's side of both."""
