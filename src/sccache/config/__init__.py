"""Settings: schema (the table), parse (values from text), load (the sole reader of the environment and the file)."""
