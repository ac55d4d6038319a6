"""A stack's secrets: made, kept in a signed and encrypted git repository, opened where used."""
