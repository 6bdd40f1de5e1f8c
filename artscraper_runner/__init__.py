"""Pipelines that protect and analyse one picture at a time."""
