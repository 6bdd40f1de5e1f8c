"""`python -m artscraper_gateway`."""

from artscraper_gateway.cli.main import main

raise SystemExit(main())
