"""`python -m sccache` is `sccache`, where no command could be installed."""

import os
import sys

from sccache.launcher import main

if __name__ == "__main__":
    sys.argv[0] = os.path.join(os.path.dirname(sys.executable), "sccache")
    main()
