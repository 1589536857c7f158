"""Dossiers: everything about a clip, a case or a period in one archive that anybody can check offline."""

from guarded_sora.dossier.bundle import Dossier, make_dossier
from guarded_sora.dossier.contents import ROLES, About, parse_about

__all__ = ["ROLES", "About", "Dossier", "make_dossier", "parse_about"]
