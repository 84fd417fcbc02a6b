"""Option tables: data only, one file for each compiler family."""
