"""What nodes say to each other: message values, their bytes, their limits. Floor 1, pure."""
