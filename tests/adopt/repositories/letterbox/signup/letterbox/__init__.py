"""Newsletter subscriptions with confirmation by mail."""
