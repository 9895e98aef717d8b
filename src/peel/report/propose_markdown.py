"""``peel propose --markdown``: the report as a comment on a pull request; all packages are folded away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from peel.console import human_size
from peel.report import NOTHING
from peel.report.markdown import code, folded, table
from peel.report.propose import facts, verdict

if TYPE_CHECKING:
    from peel.model.proposal.findings import Finding
    from peel.model.proposal.packages import ProposedPackage
    from peel.workflow.propose.proposal import Proposal


def to_markdown(proposal: Proposal) -> str:
    """The whole report as one text."""
    word = verdict(proposal).partition(" ")[0]
    lines = [f"### {word}: payload {code(proposal.name)} for {code(proposal.image)}", ""]
    lines += [f"From {code(proposal.source)}, {proposal.form}, on {proposal.platform}.", ""]
    lines += table(("what", ""), [(name, code(text)) for name, text in facts(proposal)])
    for finding in proposal.findings:
        lines += _finding(finding)
    if proposal.findings:
        lines.append("")
    packages = list(table(("package", "version", "from", "size", "licence"), [_row(p) for p in proposal.packages]))
    if proposal.packages:
        lines += folded(f"{len(proposal.packages)} packages", packages)
    return "\n".join(lines).rstrip("\n")


def _finding(finding: Finding) -> Iterator[str]:
    first, *more = finding.message.splitlines()
    yield f"- **{finding.level}**: {code(first)}"
    yield from (f"  - {code(line.strip())}" for line in (*more, *finding.hint.splitlines()) if line.strip())


def _row(package: ProposedPackage) -> tuple[str, ...]:
    size = NOTHING if package.size is None else human_size(package.size)
    return code(package.name), code(package.version), code(package.channel), size, code(package.license or "")
