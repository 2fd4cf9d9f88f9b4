"""Stopping rules: small frozen dataclasses that say when `EarlyStopping` ends a run. They combine by | and &.

A rule looks at a value at every *evaluation*, that is, after every k-th epoch with ``every=k`` of
`fastbp.train`. The value is that of `EarlyStopping.monitor`, with its sign changed if more of it is better;
so less is better here. E_va(t) is that value after epoch t, E_tr(t) the training loss of epoch t, and
E_opt(t) the least E_va of all evaluations up to epoch t. The k epochs up to an evaluation are a *strip*. NaN
is never better than anything.

GL, PQ and UP, and their names, are from L. Prechelt (1998), "Early stopping - but when?", section 2.1
(https://doi.org/10.1007/3-540-49430-8_3). There, k is 5.

>>> GL(5) | LowProgress(0.1)
GL(alpha=5.0) | LowProgress(alpha=0.1)
>>> rule_of("GL5 | UP3 & Patience(20)")
GL(alpha=5.0) | UP(strips=3) & Patience(evaluations=20, minimum_improvement=0.0)
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import ClassVar

from fastbp.errors import OptionError, check_choice, check_integer, check_number, settle

MOST_RULES = 32
"""The most rules that one combination may have."""


class StoppingRule:
    """Base of the rules and of their combinations."""

    needs_strips: ClassVar[bool] = False
    """Whether the rule needs the training loss of every epoch of a strip of several epochs."""
    needs_errors: ClassVar[bool] = False
    """Whether the rule looks at ratios of values, which must not be negative, and of which less is better."""

    def __or__(self, other: "StoppingRule") -> "AnyOf":
        return AnyOf(self, _checked(other))

    def __and__(self, other: "StoppingRule") -> "AllOf":
        return AllOf(self, _checked(other))

    def __iter__(self) -> Iterator["StoppingRule"]:
        """Yield the single rules, from left to right."""
        yield self


@dataclass(frozen=True)
class Patience(StoppingRule):
    """Stop after so many evaluations in a row without an improvement.

    An evaluation is an improvement if its value is below the best one before it by more than
    `minimum_improvement`. Only improvements change the best value. The first value that is a number is one.

    Parameters
    ----------
    evaluations : int, default 10
        At least 1.
    minimum_improvement : float, default 0.0
        At least 0.
    """

    evaluations: int = 10
    minimum_improvement: float = 0.0

    def __post_init__(self) -> None:
        settle(self, check_integer, "evaluations", least=1)
        settle(self, check_number, "minimum_improvement")


@dataclass(frozen=True)
class GL(StoppingRule):
    """Stop if the generalisation loss is high (Prechelt 1998, GL_alpha).

    That is so if ``GL(t) = 100 (E_va(t) / E_opt(t) - 1) > alpha``.

    Parameters
    ----------
    alpha : float
        In per cent, at least 0. The paper has 1, 2, 3 and 5.
    """

    alpha: float
    needs_errors: ClassVar[bool] = True

    def __post_init__(self) -> None:
        settle(self, check_number, "alpha")


@dataclass(frozen=True)
class PQ(StoppingRule):
    """Stop if the generalisation loss is high and progress is low (Prechelt 1998, PQ_alpha).

    That is so if ``GL(t) / P_k(t) > alpha``. ``GL(t)`` is that of `GL`, and ``P_k(t)`` that of `LowProgress`.

    Parameters
    ----------
    alpha : float
        At least 0. The paper has 0.5, 0.75, 1, 2 and 3.
    """

    alpha: float
    needs_strips: ClassVar[bool] = True
    needs_errors: ClassVar[bool] = True

    def __post_init__(self) -> None:
        settle(self, check_number, "alpha")


@dataclass(frozen=True)
class UP(StoppingRule):
    """Stop when E_va has risen in so many strips in a row (Prechelt 1998, UP_s).

    It has risen in a strip if ``E_va(t) > E_va(t - k)``.

    Parameters
    ----------
    strips : int
        At least 1. The paper has 2, 3, 4, 6 and 8.
    """

    strips: int

    def __post_init__(self) -> None:
        settle(self, check_integer, "strips", least=1)


@dataclass(frozen=True)
class LowProgress(StoppingRule):
    """Stop when training makes no progress any more: ``P_k(t) < alpha``.

    ``P_k(t) = 1000 (sum of E_tr / (k min E_tr) - 1)``, over the k epochs of the strip that ends with epoch t.
    So it says by how many per mille the mean training loss of the strip is above its least one (Prechelt
    1998, who ends all runs at ``P_5(t) < 0.1``).

    Parameters
    ----------
    alpha : float, default 0.1
        In per mille, at least 0.
    """

    alpha: float = 0.1
    needs_strips: ClassVar[bool] = True

    def __post_init__(self) -> None:
        settle(self, check_number, "alpha")


@dataclass(frozen=True)
class Tolerance(StoppingRule):
    """Stop after more than so many evaluations in a row that are not better than the best by `tol`.

    An evaluation counts if its value is above ``best - tol``; else the count begins again. Unlike in
    `Patience`, any lower value becomes the best one, and the run ends when the count is *above*
    `n_iter_no_change`. This is the meaning of `tol` and `n_iter_no_change` in scikit-learn's `MLPClassifier`
    and `MLPRegressor`
    (https://scikit-learn.org/stable/modules/generated/sklearn.neural_network.MLPClassifier.html).

    Parameters
    ----------
    tol : float, default 1e-4
        At least 0.
    n_iter_no_change : int, default 10
        At least 1.
    """

    tol: float = 1e-4
    n_iter_no_change: int = 10

    def __post_init__(self) -> None:
        settle(self, check_number, "tol")
        settle(self, check_integer, "n_iter_no_change", least=1)


RULES: dict[str, type[StoppingRule]] = {
    rule.__name__: rule for rule in (Patience, GL, PQ, UP, LowProgress, Tolerance)
}


@dataclass(frozen=True, init=False)
class AnyOf(StoppingRule):
    """Stop when one of several rules says so; each looks at every evaluation."""

    rules: tuple[StoppingRule, ...]
    sign: ClassVar[str] = " | "

    def __init__(self, *rules: StoppingRule):
        parts: list[StoppingRule] = []
        for rule in rules:
            parts += rule.rules if type(rule) is type(self) else [_checked(rule)]
        object.__setattr__(self, "rules", tuple(parts))
        if sum(1 for _ in self) > MOST_RULES:
            raise OptionError(
                f"a stopping rule combines {sum(1 for _ in self)} rules, and may combine {MOST_RULES}"
            )

    def __iter__(self) -> Iterator[StoppingRule]:
        for rule in self.rules:
            yield from rule

    def __repr__(self) -> str:
        return self.sign.join(
            f"({rule})" if isinstance(self, AllOf) and type(rule) is AnyOf else repr(rule)
            for rule in self.rules
        )


class AllOf(AnyOf):
    """Stop when all of several rules say so at the same evaluation."""

    sign: ClassVar[str] = " & "


def _checked(rule: object) -> StoppingRule:
    if isinstance(rule, StoppingRule):
        return rule
    raise OptionError(f"{rule!r} is no stopping rule; there are {', '.join(RULES)} in fastbp.stopping_rules")


def rule_of(text: str) -> StoppingRule:
    """Return the rule of a text, such as ``"GL5"`` or ``"GL(5) | LowProgress(0.1) & UP3"``.

    & binds closer than |; there are no other brackets than those around numbers.
    """
    parts = [[_single(text, part) for part in term.split("&")] for term in text.split("|")]
    terms = [part[0] if len(part) == 1 else AllOf(*part) for part in parts]
    return terms[0] if len(terms) == 1 else AnyOf(*terms)


def _single(text: str, part: str) -> StoppingRule:
    found = re.fullmatch(r"\s*([A-Za-z]+)\s*(?:\(([^()]*)\)|([0-9.]\S*)?)\s*", part)
    if not found:
        raise OptionError(
            f"stopping rule {text!r} has the part {part.strip()!r}; write it like GL5 or GL(5) | UP(3)"
        )
    name = check_choice("stopping rule", found[1], RULES)
    numbers: list[float] = []
    for word in (found[2] or found[3] or "").split(","):
        if not word.strip():
            continue
        try:
            numbers.append(int(word))
        except ValueError:
            try:
                numbers.append(float(word))
            except ValueError:
                raise OptionError(
                    f"stopping rule {text!r} has {word.strip()!r} where a number must be"
                ) from None
    try:
        return RULES[name](*numbers)
    except TypeError:
        takes = ", ".join(field.name for field in fields(RULES[name]))  # type: ignore[arg-type]
        raise OptionError(
            f"stopping rule {part.strip()!r} has {len(numbers)} numbers, and takes {takes}"
        ) from None
    except OptionError as error:
        raise OptionError(f"stopping rule {part.strip()!r}: {error}") from None
