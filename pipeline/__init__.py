"""The conductor: command line, configuration, plan, store, gate, report."""
