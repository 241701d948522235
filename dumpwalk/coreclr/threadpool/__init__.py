"""The thread pool of .NET 6 and later (PortableThreadPool): its limits, its workers, and what is queued."""
