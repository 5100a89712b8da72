"""torch's counterparts of our operations, one file for each file of ops/."""
