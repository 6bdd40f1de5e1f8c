"""What a picture file says about itself, in values that JSON can hold."""
