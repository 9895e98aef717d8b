"""What a requirements file asks beyond its requirements, and conda-lock does not know: constraints and hashes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from peel.errors import ArtifactError, DocumentError
from peel.model.condalock import CondaLockPackage, parse_conda_lock
from peel.model.declared import DeclaredEnvironment
from peel.model.payloads import PipRecipe
from peel.store.documents import parse_plain
from peel.workflow.inspect import Inspected

_MOST_ROUNDS: Final = 8


@dataclass(frozen=True, slots=True)
class _Constraint:
    """A constraint: what it says, and of whom."""

    text: str
    requirement: Requirement

    def is_met_by(self, package: CondaLockPackage) -> bool:
        """Whether a locked wheel is another package's, or of a version that is allowed."""
        if package.manager != "pip" or canonicalize_name(package.name) != canonicalize_name(self.requirement.name):
            return True
        return self.requirement.specifier.contains(package.version, prereleases=True)


def lock_constrained(
    environment: DeclaredEnvironment, lock: Callable[[DeclaredEnvironment], bytes], origin: str
) -> bytes:
    """What ``lock`` makes of an environment, with its constraints met.

    A constraint asks for nothing. So each becomes a requirement only once its package was locked in a version that
    it does not allow. Raises DocumentError when that finds no end, and whatever ``lock`` raises.
    """
    recipe = environment.recipe
    constraints = recipe.constraints if isinstance(recipe, PipRecipe) else ()
    known = [_Constraint(text, Requirement(text)) for text in constraints]
    for _ in range(_MOST_ROUNDS):
        data = lock(environment)
        packages = parse_conda_lock(parse_plain(data, origin), origin) if known else ()
        broken = [each for each in known if not all(each.is_met_by(package) for package in packages)]
        if not broken:
            return data
        asked = tuple(dict.fromkeys((*environment.pip, *(each.text for each in broken))))
        if asked == environment.pip:
            break
        environment = environment.model_copy(update={"pip": asked})
    raise DocumentError(
        f"the environment {environment.name!r} cannot meet its constraints: {broken[0].text}",
        hint="loosen the constraint, or ask for another version of what needs the package",
    )


def refuse_other_hashes(environment: DeclaredEnvironment, found: Sequence[Inspected], origin: str) -> None:
    """Raise ArtifactError for a wheel that is none of those whose hashes the requirements file names."""
    recipe = environment.recipe
    allowed = recipe.hashes if isinstance(recipe, PipRecipe) else {}
    for item in found:
        name = canonicalize_name(item.package.name)
        if item.package.manager == "pip" and name in allowed and item.digest.hex not in allowed[name]:
            raise ArtifactError(
                f"{origin}: {item.package.file_name} has sha256 {item.digest.hex}, which {name} is not to have",
                hint="the index has another file of this version; see the --hash of it in the requirements file",
            )
