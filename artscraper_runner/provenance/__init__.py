"""Sign a picture file with the statement that it may not be used for training.

`manifest` signs, `credentials` finds the certificate and the key, `certificate_checks` says
whether they can sign, `private_ca` makes some. None of it hinders anybody: it states a
reservation.
"""
