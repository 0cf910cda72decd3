"""Who: tenants, people, keys, and the walls between them."""
