"""Faces: where they are, how a recogniser sees them, and how to change what it sees."""
