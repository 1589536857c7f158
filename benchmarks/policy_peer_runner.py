"""Runs one other filter over texts: a question as JSON on stdin, the answer as JSON on stdout's last line.

Imports nothing of this project, so that it can run in the peer's own environment.
"""

import json
import sys
import time
from importlib.metadata import version


def alt_profanity_check(terms):  # type: ignore[no-untyped-def]
    from profanity_check import predict_prob

    return lambda text: float(predict_prob([text])[0]), version("alt-profanity-check")


def better_profanity(terms):  # type: ignore[no-untyped-def]
    from better_profanity import profanity

    profanity.load_censor_words()
    profanity.add_censor_words(terms)
    return lambda text: float(profanity.contains_profanity(text)), version("better-profanity")


PEERS = {"alt-profanity-check": alt_profanity_check, "better-profanity": better_profanity}


def main() -> None:
    question = json.loads(sys.stdin.read())
    try:
        judge, found = PEERS[sys.argv[1]](question["terms"])
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"[:200]}))
        return
    start = time.process_time()
    scores = []
    for text in question["texts"]:
        scores.append(judge(text))
        spent = time.process_time() - start
        if spent > question.get("seconds", float("inf")):
            said = f"too slow: {len(scores)} of {len(question['texts'])} texts in {spent:.0f} s of CPU"
            print(json.dumps({"error": said}))
            return
    ms = 1000 * (time.process_time() - start) / max(len(scores), 1)
    print(json.dumps({"version": found, "scores": scores, "ms": ms}))


main()
