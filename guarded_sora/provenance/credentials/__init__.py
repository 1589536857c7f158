"""Content Credentials (C2PA): sign as the last step, read as the first.

Submodules are imported by name; nothing here loads the native library before it is used.
"""
