"""The command line: arguments, files, scores and the report, each in a module."""
