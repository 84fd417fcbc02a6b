"""The text by which a launcher and a daemon know that they are of one build.

Owns: how that text is made.  Must not know: anything else.
"""

from sccache import __version__
from sccache._build import BUILD_ID

VERSION_TEXT = f"{__version__}+{BUILD_ID}".encode()
"""Package version and build; the native launcher has the same bytes compiled in.  Anything else is another build."""
