"""The thread pool of .NET 6 and later, whose code is managed: counts, workers, what is queued."""
