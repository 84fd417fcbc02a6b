"""Compilers: recognising them, understanding their command lines, finding what they run."""
