"""`python -m artscraper_runner`."""

from artscraper_runner.process import set_native_thread_defaults

set_native_thread_defaults()

from artscraper_runner.cli.main import main  # noqa: E402

raise SystemExit(main())
