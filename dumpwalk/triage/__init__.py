"""The store of reports: which hangs were seen, since when, how often, on which runtimes. Reads reports, never facts."""
