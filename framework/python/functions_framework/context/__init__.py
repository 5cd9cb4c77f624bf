"""What functions of the openfunction signature see."""
