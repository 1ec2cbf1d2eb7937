"""What every broker adapter must keep, as one suite, and the paper broker's own world."""
