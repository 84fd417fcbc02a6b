"""Real servers for tests, started by the test run; emulators and our own strict ones where no real one can run here."""
