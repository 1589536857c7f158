"""Words in, decision out. Importing this package loads nothing: name the module you need."""
