"""Files that outlive the process: models, and what other programs read."""
