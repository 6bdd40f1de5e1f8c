"""The command line: `main` parses arguments, the other modules are its subcommands."""
