"""``python -m guarded_sora.audit.verifier``, and the start of ``verifier.pyz``."""

import sys

from .command import main

sys.exit(main())
