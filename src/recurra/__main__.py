"""Let `python -m recurra` do what `recurra` does."""

import sys

from recurra.cli import main

sys.exit(main())
