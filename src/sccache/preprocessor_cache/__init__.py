"""Direct mode's record of one compile: what was read, what was looked for and not found (sccache calls it preprocessor cache)."""
