"""Sizes for readers.

Owns: the wording of a size.  Must not know: what has it.
"""

BINARY_STEP = 1024


def human_size(size_bytes: int) -> tuple[str, str]:
    """A size in the largest binary unit that it fills, without decimals: ("10", "GiB"), ("512", "bytes")."""
    number, unit = float(size_bytes), "bytes"
    for bigger in ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB"):
        if number < BINARY_STEP:
            break
        number, unit = number / BINARY_STEP, bigger
    return f"{number:.0f}", unit
