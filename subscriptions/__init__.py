"""What they bought: plans, subscriptions, and the platform's own trail."""
