"""The stages of pipeline.py, one file each: what it needs done is done here."""
