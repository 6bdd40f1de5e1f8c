"""Say in a picture file, where readers look for it, that it may not be used for training.

`xmp` writes the statement as metadata, `manifest` signs it with the picture, `credentials` keeps
the key that signs. None of it hinders anybody: it states a reservation.
"""
