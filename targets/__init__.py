"""Where models run: runtimes, pre- and post-processing, latency. All of it works on a board."""
