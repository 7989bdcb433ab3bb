"""Messages over frames of any MTU, in order, exactly once (sans-IO). Floor 2."""
