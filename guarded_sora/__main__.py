"""``python -m guarded_sora`` is ``guarded-sora``."""

from guarded_sora.cli.main import main

main()
