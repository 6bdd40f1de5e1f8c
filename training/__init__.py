"""Training of the bundled encoder; not part of the installed packages."""
