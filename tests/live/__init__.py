"""Live sessions over real HTTP: traders as processes of their own, against the sandbox."""
