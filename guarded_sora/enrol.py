"""Enrol people, characters, brands and works: from files to what the registry keeps, with a record.

Pictures and films are read in the killable worker and only templates or hashes are kept of them.
"""

from __future__ import annotations

from guarded_sora.consent import log_change
from guarded_sora.services import Services


def remove_subject(services: Services, subject_id: str) -> None:
    """Forget a subject and end every consent about it; clips made under one carry the notice.

    Raises:
        UsageError: no such subject.
    """
    grants = services.grants.grants(subject_id)
    services.registry.remove(subject_id)
    marked = 0
    for grant in grants:
        marked += len(services.grants.revoke(grant.grant_id, "subject_removed"))
    log_change(services, "registry.removed", subject_id, {"grants": len(grants), "clips": marked})
