"""Let `python -m recurra.cli` do what `recurra` does."""

import sys

from recurra.cli import main

sys.exit(main())
