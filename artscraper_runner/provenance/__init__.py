"""Sign a picture file with the statement that it may not be used for training.

`manifest` signs, `credentials` loads the certificates and the key, `certificates` validates them,
`private_ca` creates them. A signature states a reservation; it prevents nothing.
"""
