"""The C2PA's official lists as published, and where each comes from (``lists.json``).

Coalition for Content Provenance and Authenticity (C2PA), licence CC BY 4.0; unchanged. ``guarded-sora keys
trust update FILE`` replaces them for one installation.
"""
