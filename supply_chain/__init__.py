"""Checks of the licences of the packages that an installation contains."""
