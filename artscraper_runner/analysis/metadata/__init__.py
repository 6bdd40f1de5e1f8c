"""The metadata of a picture file, in values that JSON can hold."""
