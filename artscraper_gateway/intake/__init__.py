"""How a picture that somebody else names gets in: address rules, downloads, local paths."""
