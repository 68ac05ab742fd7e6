"""The named methods, each three choices, and the choices by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from inspect import signature
from typing import Any, get_args

from polysense.errors import PolysenseError
from polysense.methods.base import Combination, Interaction, Regulariser, Sizes
from polysense.methods.macsc.contrast import SelfBalancingContrast
from polysense.methods.macsc.enhancement import CrossModalAttention
from polysense.methods.macsc.fusion import LateFusion
from polysense.methods.mase.contrast import CrossModalContrast
from polysense.methods.mase.entity_injection import EntityInjection
from polysense.methods.mase.weighting import EvenWeighting, InformationWeighting
from polysense.methods.plain import Concatenation, NoInteraction, TextOnly, TowersOnly
from polysense.methods.targets import Target

INTERACTIONS: dict[str, type[Interaction]] = {
    "none": NoInteraction,
    "cross_attention": CrossModalAttention,
    "entity_injection": EntityInjection,
}
COMBINATIONS: dict[str, type[Combination]] = {
    "text": TextOnly,
    "towers": TowersOnly,
    "concatenation": Concatenation,
    "late_fusion": LateFusion,
    "information": InformationWeighting,
    "even": EvenWeighting,
}
REGULARISERS: dict[str, Callable[..., Regulariser] | None] = {
    "none": None,
    "self_balancing": SelfBalancingContrast,
    "cross_modal": CrossModalContrast,
}


@dataclass(frozen=True)
class MethodConfig:
    """Which choices a method makes.

    Attributes:
        name: "text", "tower", "mpb", "macsc", "mase", ..., the name that tables print.
        interaction, combination, regulariser: names in this module's dictionaries.
        options: keyword arguments by choice ("interaction", "combination", "regulariser").
    """

    name: str
    interaction: str
    combination: str
    regulariser: str = "none"
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for choice, known in _CHOICES.items():
            chosen = getattr(self, choice)
            if chosen not in known:
                raise PolysenseError(f"unknown {choice} {chosen!r}: one of {', '.join(known)}")
            allowed = _options(known[chosen])
            for option in self.options.get(choice, {}):
                if option not in allowed:
                    names = ", ".join(sorted(allowed)) or "none"
                    raise PolysenseError(f"{choice} {chosen!r} has no option {option!r}; its options: {names}")
        if not self.multimodal and self.options.get("interaction"):
            raise PolysenseError(
                f"method {self.name!r} looks at no prototypes: leave out {', '.join(self.options['interaction'])}"
            )
        if self.combination in ("text", "towers") and self.regulariser != "none":
            raise PolysenseError(
                f"regulariser {self.regulariser!r} compares the predictions of modalities, combination "
                f"{self.combination!r} makes none of {'them' if self.combination == 'text' else 'the text'}: "
                "choose another combination, or regulariser 'none' with it"
            )

    @property
    def multimodal(self) -> bool:
        """Whether the method looks at prototypes at all."""
        return self.combination != "text" or self.interaction != "none"

    @property
    def reads_text(self) -> bool:
        """Whether representations hang on what the backbone says of the text, and so train it.

        Towers alone do not, unless their prototypes meet the text's states, or are chosen by them.
        """
        meets = self.interaction != "none" or bool(self.options.get("interaction", {}).get("select"))
        return meets or COMBINATIONS[self.combination].of_text

    @property
    def uses_graph(self) -> bool:
        """Whether the method looks at scene graphs."""
        return INTERACTIONS[self.interaction].uses_graph

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def with_options(self, options: Mapping[str, Any]) -> MethodConfig:
        """The method with some of its choices' options set; each option goes to the choice that has it.

        Raises:
            PolysenseError: no choice of this method has an option of that name.
        """
        merged = {choice: dict(values) for choice, values in self.options.items()}
        for option, value in options.items():
            owners = [c for c, known in _CHOICES.items() if option in _options(known[getattr(self, c)])]
            if not owners:
                available = sorted({o for c, known in _CHOICES.items() for o in _options(known[getattr(self, c)])})
                names = ", ".join(available) or "none"
                raise PolysenseError(f"method {self.name!r} has no option {option!r}; its options: {names}")
            for choice in owners:
                _check_value(_CHOICES[choice][getattr(self, choice)], option, value)
                merged.setdefault(choice, {})[option] = value
        return replace(self, options=merged)

    def build_interaction(self, sizes: Sizes) -> Interaction:
        builder: Callable[..., Interaction] = INTERACTIONS[self.interaction]
        return builder(sizes, **self.options.get("interaction", {}))

    def build_combination(self, sizes: Sizes, target: Target) -> Combination:
        builder: Callable[..., Combination] = COMBINATIONS[self.combination]
        return builder(sizes, target, **self.options.get("combination", {}))

    def build_regulariser(self, sizes: Sizes, target: Target) -> Regulariser | None:
        builder = REGULARISERS[self.regulariser]
        return builder(sizes, target, **self.options.get("regulariser", {})) if builder else None


_CHOICES: dict[str, Mapping[str, Any]] = {
    "interaction": INTERACTIONS,
    "combination": COMBINATIONS,
    "regulariser": REGULARISERS,
}


def _check_value(builder: Callable[..., Any], option: str, value: Any) -> None:
    """An option's value is of the kind of its default: a choice, true or false, a whole number, or a number."""
    parameter = signature(builder, eval_str=True).parameters[option]
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if isinstance(parameter.default, str):
        choices = get_args(parameter.annotation)
        fits, wanted = value in choices, f"one of {', '.join(choices)}"
    elif isinstance(parameter.default, bool):
        fits, wanted = isinstance(value, bool), "true or false"
    elif option == "select":
        fits, wanted = number and isinstance(value, int) and value >= 0, "a whole number, 0 or more"
    elif isinstance(parameter.default, int):
        fits, wanted = number and isinstance(value, int) and value > 0, "a whole number above 0"
    elif option == "temperature":
        fits, wanted = number and value > 0, "a number above 0"
    else:
        fits, wanted = number and value >= 0, "a number, 0 or more"
    if not fits:
        raise PolysenseError(f"option {option} must be {wanted}, not {value!r}")


def _options(builder: Callable[..., Any] | None) -> set[str]:
    return set(signature(builder).parameters) - {"sizes", "target"} if builder else set()


METHODS: dict[str, MethodConfig] = {
    method.name: method
    for method in (
        MethodConfig("text", "none", "text"),
        MethodConfig("tower", "none", "towers"),
        MethodConfig("mpb", "none", "concatenation"),
        MethodConfig("macsc", "cross_attention", "late_fusion", "self_balancing"),
        MethodConfig("mase", "entity_injection", "information", "cross_modal"),
    )
}


def method_config(name: str, **swapped: str | None) -> MethodConfig:
    """A named method, with choices swapped: `method_config("macsc", regulariser="none")` is Table 4's ablation.

    A swapped method's name says so: "macsc(regulariser=none)".

    Raises:
        PolysenseError: the method or the choice is unknown.
    """
    if name not in METHODS:
        raise PolysenseError(f"unknown method {name!r}: one of {', '.join(METHODS)}")
    changes = {choice: value for choice, value in swapped.items() if value is not None}
    if not changes:
        return METHODS[name]
    suffix = ",".join(f"{choice}={value}" for choice, value in changes.items())
    return replace(METHODS[name], name=f"{name}({suffix})", **changes)  # type: ignore[arg-type]
