"""Helix, the service that runs the tests of the .NET repositories: a job's work items, their files and payload."""
