"""`python -m flux_gateway` is `flux`."""

import sys

from flux_gateway.cli.main import main

sys.exit(main())
