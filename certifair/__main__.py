"""`python -m certifair`."""

import sys

from certifair.cli import main

sys.exit(main())
