"""What the wheel's build found out; this copy is the source tree's, the wheel gets a generated one (hatch_build.py).

Owns: facts of the build.  Must not know: anything else.
"""

BUILD_ID = "source"
"""Digest of the sources that the wheel was built from."""
NATIVE_LAUNCHER = False
"""The commands are the native launcher; else Python scripts."""
NATIVE_MODULE = False
"""sccache._native was built."""
NOTE = ""
"""One sentence for the user when something native could not be built; the command line says it once."""
