"""``python -m edge_sparse`` is ``edge-sparse``."""

import sys

from edge_sparse.cli import main

sys.exit(main())
