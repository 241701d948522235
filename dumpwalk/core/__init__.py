"""What a dump is: files, segments, threads, frames, modules. No .NET in here."""
