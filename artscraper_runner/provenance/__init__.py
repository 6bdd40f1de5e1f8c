"""Sign a picture file with the statement that it may not be used for training.

`manifest` signs, `credentials` loads the certificate and the key, `certificate_checks` validates
the chain, `private_ca` creates a chain. A signature states a reservation; it prevents nothing.
"""
