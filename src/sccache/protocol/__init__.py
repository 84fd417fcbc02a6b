"""What launcher, command line and daemon say to each other (docs/formats/wire.md)."""
