"""``peel propose``: what a payload would install, what it shares, what is to be said of it, and whether it works."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from peel.console import Console, human_size
from peel.report import SCHEMA

if TYPE_CHECKING:
    from peel.model.proposal.packages import ProposedPackage
    from peel.workflow.propose.proposal import Proposal

Form = Literal["text", "json", "markdown"]
_LARGEST = 5


def show_proposal(proposal: Proposal, console: Console, *, form: Form) -> None:
    """The report, in the form that was asked for."""
    if form == "json":
        return console.json(proposal_json(proposal))
    if form == "markdown":
        from peel.report.propose_markdown import to_markdown

        return console.line(to_markdown(proposal))
    for line in _text(proposal):
        console.line(line)
    return None


def proposal_json(proposal: Proposal) -> dict[str, Any]:
    """``peel propose --json``; sizes are in bytes, null where nothing was looked at."""
    kernel, layers = proposal.kernel, proposal.layers
    return {
        "schema": SCHEMA,
        "name": proposal.name,
        "source": proposal.source,
        "form": proposal.form,
        "kind": proposal.kind,
        "image": proposal.image,
        "platform": proposal.platform,
        "dry_run": proposal.dry_run,
        "passed": proposal.passed,
        "python": proposal.python or None,
        "packages": [asdict(package) for package in proposal.packages],
        "size": archive_size(proposal.packages),
        "installed": installed_size(proposal.packages),
        "layers": asdict(layers) if layers else None,
        "shared": [asdict(each) for each in proposal.shared],
        "findings": [asdict(finding) for finding in proposal.findings],
        "kernel": asdict(kernel) if kernel else None,
        "written": list(proposal.written),
        "seconds": round(proposal.seconds, 3),
    }


def verdict(proposal: Proposal) -> str:
    """The whole in one sentence."""
    if not proposal.passed:
        return f"FAIL  {proposal.name} does not work in {proposal.image} as it is"
    if proposal.dry_run:
        return f"PASS  {proposal.name} can be resolved for {proposal.image}; it was not built"
    return f"PASS  {proposal.name} works in {proposal.image}"


def facts(proposal: Proposal) -> Iterator[tuple[str, str]]:
    """What there is to say of it, each with its name."""
    packages = proposal.packages
    if packages:
        wheels = sum(package.manager == "pip" for package in packages)
        counted = [_count(len(packages) - wheels, "conda package"), _count(wheels, "wheel") if wheels else ""]
        python = f"Python {proposal.python}" if proposal.python else ""
        yield "installs", ", ".join(part for part in (*counted, python) if part)
        yield "archives", _sizes(packages)
    if proposal.layers:
        layers = proposal.layers
        new = f"{layers.new} of them new" if layers.new else "none of them new"
        yield "layers", f"adds {_count(layers.count, 'layer')} of {human_size(layers.size)} to the image, {new}"
    for each in proposal.shared:
        yield (
            "shares",
            f"{_count(each.packages, 'package')} with {each.environment}: {human_size(each.size)} of archives",
        )
    sized = sorted((p for p in packages if p.size), key=lambda p: -(p.size or 0))
    if sized:
        yield "largest", ", ".join(f"{p.name} {p.version} ({human_size(p.size or 0)})" for p in sized[:_LARGEST])
    if proposal.kernel and proposal.kernel.passed:
        yield "kernel", f"{proposal.kernel.name}: Python {proposal.kernel.version} in {proposal.kernel.prefix}"


def archive_size(packages: Sequence[ProposedPackage]) -> int | None:
    """The bytes of all archives; None when the size of one is not known."""
    sizes = [package.size for package in packages]
    return sum(size for size in sizes if size) if None not in sizes else None


def installed_size(packages: Sequence[ProposedPackage]) -> int | None:
    """The bytes of all files; None when those of a package are not known."""
    sizes = [package.installed for package in packages]
    return sum(size for size in sizes if size) if None not in sizes else None


def next_steps(proposal: Proposal) -> Sequence[str]:
    """What an author does next, when it works."""
    if not proposal.passed or proposal.dry_run:
        return ()
    image = proposal.image.partition(":")[0]
    return (
        f"name {proposal.name} under payloads: in envs/{image}.yaml, then peel lock {image}:TAG",
        f"try it: peel try {proposal.name}",
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _sizes(packages: Sequence[ProposedPackage]) -> str:
    size, installed = archive_size(packages), installed_size(packages)
    if size is None:
        known = sum(package.size or 0 for package in packages)
        missing = sum(package.size is None for package in packages)
        return f"{human_size(known)} are here already; {_count(missing, 'package')} would be fetched"
    return human_size(size) + (f", {human_size(installed)} installed" if installed is not None else "")


def _text(proposal: Proposal) -> Iterator[str]:
    yield f"{proposal.name}: {proposal.source} ({proposal.form}), proposed to {proposal.image} on {proposal.platform}"
    yield from (f"  {name:9} {text}" for name, text in facts(proposal))
    for finding in proposal.findings:
        yield f"{finding.level}: {finding.message}"
        if finding.hint:
            yield f"  hint: {finding.hint}"
    yield from (f"wrote {path}" for path in proposal.written)
    yield from (f"next: {step}" for step in next_steps(proposal))
    yield f"{verdict(proposal)} ({proposal.seconds:.1f} s)"
