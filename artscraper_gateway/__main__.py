"""`python -m artscraper_gateway`."""

from artscraper_gateway.cli import main

raise SystemExit(main())
