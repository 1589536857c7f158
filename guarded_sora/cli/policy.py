"""``guarded-sora policy``: check prompts, test and lint packs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import orjson

from guarded_sora.cli import rollout
from guarded_sora.cli.exit_status import OF_ACTION, OK, REFUSED, USAGE, worst
from guarded_sora.cli.options import chosen, context_options, output_options, request_context, state_options
from guarded_sora.cli.output import Reply, clean, open_sora, print_json, print_table
from guarded_sora.policies.engine import PolicyEngine
from guarded_sora.policies.finding import Action, AgeTier, CheckState, RequestContext
from guarded_sora.policies.text.check import PromptCheck
from guarded_sora.settings import Settings

_LONGEST_LINE = 2_000_000


@click.group("policy")
def command() -> None:
    """Check prompts; test and lint policy packs."""


for _name in ("diff", "shadow", "promote"):
    command.add_command(getattr(rollout, _name))

_pack_option = click.option(
    "--pack",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="GUARDED_SORA_PACK",
    help="A pack's folder (default: the pack that ships with the program).",
)


@command.command("check")
@click.argument("text")
@_pack_option
@context_options
@output_options
@state_options
def check(
    text: str,
    pack: Path | None,
    profile: str,
    actor: str,
    tenant: str,
    age_tier: AgeTier,
    region: str,
    consents: tuple[str, ...],
    reply: Reply,
    settings: Settings,
) -> int:
    """Decide on TEXT without generating anything; ``-`` reads one JSON object {"text": ...} a line.

    Where an installation stands under --home, its promoted pack, registered names and further checks
    count as they do for a request. Exit status: 0 allow or rewrite, 1 block, 4 review; of several lines
    the worst.
    """
    context = request_context(actor, tenant, age_tier, region, consents)
    with _policy(chosen(settings, pack=pack)) as (engine, checks):
        statuses = _answer(engine, checks, text, context, as_json=reply.as_json)
    return worst(statuses) if statuses else OK


@contextmanager
def _policy(settings: Settings) -> Iterator[tuple[PolicyEngine, Sequence[PromptCheck]]]:
    """Engine and checks of the installation, or of the pack alone where there is none: nothing is made."""
    from guarded_sora.keys import RING
    from guarded_sora.policies.pack import load_pack
    from guarded_sora.policies.text.check import default_prompt_checks

    if (settings.home / "keys" / RING).is_file():
        with open_sora(settings) as sora:
            yield sora.services.policy, sora.services.prompt_checks
    else:
        loaded = load_pack(settings.pack)
        yield PolicyEngine(loaded), default_prompt_checks(loaded)


def _answer(
    engine: PolicyEngine, checks: Sequence[PromptCheck], text: str, context: RequestContext, *, as_json: bool
) -> list[int]:
    """Print the decision on each text; returns their exit statuses."""
    from guarded_sora.policy_check import check_text, text_sha256
    from guarded_sora.records import decision_json, finding_json

    statuses: list[int] = []
    for number, prompt in _lines() if text == "-" else [(0, text)]:
        if prompt is None:
            message = f'Line {number} is not a JSON object with a text, such as {{"text": "a dog"}}.'
            print_json({"line": number, "error": {"code": "usage", "message": message}})
            statuses.append(USAGE)
            continue
        decision = check_text(engine, checks, prompt, context)
        statuses.append(OF_ACTION[decision.action])
        if as_json or text == "-":
            print_json(
                {
                    "text_sha256": text_sha256(prompt),
                    "decision": decision_json(decision),
                    "findings": [finding_json(finding) for finding in decision.findings],
                }
            )
        else:
            click.echo(f"{decision.action.value}")
            for rule in decision.decisive if decision.action is not Action.ALLOW else ():
                click.echo(f"  {rule.id} ({rule.reason}): {clean(rule.text)}")
            if decision.obligations:
                click.echo(f"  a film of it would carry: {', '.join(sorted(decision.obligations))}")
            for run in decision.checks:
                if run.state is CheckState.UNAVAILABLE:
                    click.echo(f"  not checked by {run.name}: {run.reason}")
    return statuses


def _lines() -> Iterator[tuple[int, str | None]]:
    """Texts from stdin with their line's number, one JSON object a line; None for a line that is none."""
    for number, line in enumerate(sys.stdin.buffer, start=1):
        if not line.strip():
            continue
        try:
            document = orjson.loads(line) if len(line) <= _LONGEST_LINE else None
            prompt = document["text"] if isinstance(document, dict) else None
        except (orjson.JSONDecodeError, KeyError):
            prompt = None
        yield number, prompt if isinstance(prompt, str) else None


@command.command("test")
@_pack_option
@output_options
def test(pack: Path | None, reply: Reply) -> int:
    """Run the golden prompts that stand beside every rule. Exit status: 0 all hold, 1 some do not."""
    from guarded_sora.policies.golden import run_golden
    from guarded_sora.policies.pack import load_pack

    results = run_golden(load_pack(pack))
    if reply.as_json:
        for result in results:
            print_json(
                {
                    "rule": result.prompt.rule,
                    "text": result.prompt.text,
                    "holds": result.passed,
                    "action": result.decision.action.value,
                    "problem": result.problem,
                }
            )
    elif not reply.quiet:
        by_rule: dict[str, list[bool]] = {}
        for result in results:
            by_rule.setdefault(result.prompt.rule, []).append(result.passed)
        print_table(
            "Golden prompts",
            ("rule", "hold", "of"),
            [(rule, sum(passed), len(passed)) for rule, passed in sorted(by_rule.items())],
        )
        for result in results:
            if not result.passed:
                click.echo(f"FAILS {clean(result.prompt.rule)}: {clean(result.problem)}", err=True)
    return OK if results and all(result.passed for result in results) else REFUSED


@command.command("lint")
@_pack_option
@output_options
def lint(pack: Path | None, reply: Reply) -> int:
    """Load a pack as strictly as the guard does, then look for rules that cannot fire, words nobody uses and
    missing tests. Exit status: 0 it holds, perhaps with warnings, 1 it does not."""
    from guarded_sora.policies.errors import PolicyError
    from guarded_sora.policies.lint import lint_pack
    from guarded_sora.policies.pack import load_pack

    try:
        loaded = load_pack(pack)
    except PolicyError as error:
        if reply.as_json:
            print_json({"holds": False, "problem": str(error), "problems": []})
        else:
            click.echo(clean(str(error)), err=True)
        return REFUSED
    problems = lint_pack(loaded)
    holds = all(problem.level != "error" for problem in problems)
    reference = loaded.reference
    document = {"id": reference.id, "version": reference.version, "digest": reference.digest}
    if reply.as_json:
        listed = [{"level": p.level, "where": p.where, "message": p.message} for p in problems]
        print_json({"holds": holds, "pack": document, "rules": len(loaded.rules), "problems": listed})
    else:
        for problem in problems:
            if not (reply.quiet and problem.level == "warning"):
                click.echo(f"{problem.level}: {clean(problem.where)}: {clean(problem.message)}", err=True)
        verdict = "hold" if holds else "do not hold"
        pack_name = f"{reference.id} {reference.version}"
        click.echo(f"{pack_name}: {len(loaded.rules)} rules {verdict} ({reference.digest[:12]})")
    return OK if holds else REFUSED
