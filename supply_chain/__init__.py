"""What the project is made of: checks of the packages that an installation brings along."""
