"""Errors of the policy package.

PolicyError
├── PackInvalid        a pack, rule, lexicon or golden file that does not hold what it must
├── ConditionInvalid   a rule's condition that does not compile or breaks a limit
├── CorpusInvalid      prompts for training and measuring that do not hold what they must
├── ModelInvalid       weights, vocabulary or card of a text model that cannot be used
└── ServiceFailed      a moderation server that did not answer, or not in the shape it must
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


class CorpusInvalid(PolicyError):
    code = "policy.corpus_invalid"


class ModelInvalid(PolicyError):
    code = "policy.model_invalid"


class ServiceFailed(PolicyError):
    code = "policy.service_failed"
