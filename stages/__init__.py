"""The work: one module or folder a stage. Stages know neither each other nor the store."""
