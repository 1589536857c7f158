"""Errors of the policy package.

PolicyError
├── PackInvalid        a pack, rule, lexicon or golden file that does not hold what it must
└── ConditionInvalid   a rule's condition that does not compile or breaks a limit
"""


class PolicyError(Exception):
    """Root of every error this package raises on purpose.

    ``code`` is stable and may be matched by programs; the message says what to do next.
    """

    code = "policy"


class PackInvalid(PolicyError):
    code = "policy.pack_invalid"


class ConditionInvalid(PolicyError):
    code = "policy.condition_invalid"
