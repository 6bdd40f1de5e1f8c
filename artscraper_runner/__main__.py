"""`python -m artscraper_runner`."""

import os

from artscraper_runner.cli.main import main

# Read when torch is loaded. A thread that spins while it waits for one whose core is busy with
# other work makes a step ten times as slow.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
raise SystemExit(main())
