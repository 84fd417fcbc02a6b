"""What the tests of distributed compilation are written with."""
