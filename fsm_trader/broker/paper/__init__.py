"""The paper broker: one matching engine over given prices, its own book on disk, and faults for drills."""
