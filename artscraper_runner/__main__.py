"""`python -m artscraper_runner`."""

from artscraper_runner.cli import main

raise SystemExit(main())
