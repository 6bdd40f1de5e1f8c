"""Faces: detection, a recogniser, and cloaks against it."""
