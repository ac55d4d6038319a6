"""The stack file: loading, where each value came from, its schema. Knows no component."""
