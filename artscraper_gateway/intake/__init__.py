"""Intake of pictures: uploads, downloads and local paths."""
