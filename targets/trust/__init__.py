"""Trust: whose signature a device believes, and what it then knows of the files that it got."""
