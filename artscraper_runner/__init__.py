"""Artscraper's pipelines: protection and analysis of pictures."""
