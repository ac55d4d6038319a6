"""The components, by layer; `registry` lists them."""
