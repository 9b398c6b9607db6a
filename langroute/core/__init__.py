"""Base layer of the package: records, errors, protocols, task context, files and locks."""
