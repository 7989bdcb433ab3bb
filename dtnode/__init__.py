"""dtnode: Matrix rooms for places without the internet."""
