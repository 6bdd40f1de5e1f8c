"""Signs that a picture carries something hidden: in its lowest bits, or behind its end."""
