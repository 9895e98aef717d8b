"""``peel doctor``: what is there, what is missing, what installs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peel.console import Console, human_size
from peel.report import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Collection

    from peel.workflow.doctor import Purpose, Report


def show_doctor(found: Report, purposes: Collection[Purpose], console: Console, *, json: bool) -> bool:
    """``peel doctor``: what is there, what is missing, what installs it; says whether all is well."""
    from peel.workflow.doctor import install_command, missing

    lacking = missing(found, purposes)
    command = " ".join(install_command(found, purposes))
    if json:
        console.json(
            {"schema": SCHEMA, **_doctor_json(found), "missing": [f.tool.program for f in lacking], "install": command}
        )
    else:
        _show_tools(found, console)
        if lacking:
            console.line(
                f"missing for {', '.join(p.value for p in purposes)}: {', '.join(f.tool.program for f in lacking)}"
            )
        if command:
            console.line(f"install with: {command}")
    return not lacking and not found.isolation_problem


def _doctor_json(found: Report) -> dict[str, Any]:
    isolation = found.isolation
    return {
        "machine": found.distribution,
        "root": found.root,
        "store": str(found.store),
        "free": found.free,
        "tools": [
            {
                "name": finding.tool.program,
                "version": finding.version or None,
                "usable": finding.usable,
                "needed": finding.tool.needed,
                "problem": finding.problem or None,
                "purposes": sorted(finding.tool.purposes),
            }
            for finding in found.findings
        ],
        "isolation": isolation.isolation.name if isolation and isolation.isolation else None,
        "refused": {refusal.name: refusal.reason for refusal in isolation.refused} if isolation else {},
    }


def _show_tools(found: Report, console: Console) -> None:
    rows = [
        (
            finding.tool.program,
            finding.version or "-",
            "ok" if finding.usable else finding.problem if finding.tool.needed else f"{finding.problem} (not needed)",
            ", ".join(sorted(finding.tool.purposes)),
        )
        for finding in found.findings
    ]
    console.table(("TOOL", "VERSION", "STATE", "FOR"), rows)
    console.line()
    if found.isolation is not None:
        chosen = found.isolation.isolation
        console.line(f"isolation: {chosen.name if chosen else 'none works'}")
        for refusal in found.isolation.refused:
            console.line(f"  not {refusal.name}: {refusal.reason}")
    if found.isolation_problem:
        console.line(f"isolation: {found.isolation_problem}")
    console.line(f"store: {found.store}, {human_size(found.free)} free{'' if found.roomy else ' (little)'}")
    console.line(f"machine: {found.distribution}, {'root' if found.root else 'not root'}")
