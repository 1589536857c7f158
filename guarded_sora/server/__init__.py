"""The HTTP service: what clients of ``/v1/videos`` already speak, verification, proofs, pages.

Importing this package needs no web framework; :mod:`guarded_sora.server.app` does (extra ``server``).
"""
