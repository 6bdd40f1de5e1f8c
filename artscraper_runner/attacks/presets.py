"""The numbers of every attack: one row per published method, and the product's own.

PhotoGuard, Mist and Nightshade are one attack with different numbers: projected gradient descent
on a picture so that an encoder's latent moves to a target. The published rows are re-implemented
from the papers and their authors' documentation; no code of theirs is used.

| method | source |
|---|---|
| PhotoGuard, encoder attack | Salman et al. 2023, arXiv 2302.06588 |
| Mist, textural mode | Liang and Wu 2023, arXiv 2305.12683 |
| Nightshade | Shan et al. 2024, arXiv 2310.13828 |

Where we differ, in every row: the budget is the job's own (`Strength`), and a published step is
kept as a share of its published budget; a stage starts from the layer before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

DEFAULT_PRESET = "default"
PUBLISHED = "published"
BUNDLED = "bundled"  # the encoder of our own


@dataclass(frozen=True, kw_only=True)
class Strength:
    """A bound on the change of a picture.

    `visibility` bounds what may be seen in the final picture, all stages together: about the value
    of Butteraugli in the worst place (`imaging.visibility`). `budget` is the outer bound, Linf
    against the original in x/255, for all attack stages together. The cloaks' map allows `flat`,
    in x/255, where the picture is flat, and adds `texture` times the local deviation of coarse
    texture, up to the budget.
    """

    visibility: float
    budget: int
    flat: float
    texture: float


STRENGTHS = {
    "low": Strength(visibility=0.58, budget=4, flat=0.75, texture=1.5),
    "medium": Strength(visibility=0.9, budget=8, flat=1.5, texture=3.0),
    "high": Strength(visibility=1.65, budget=16, flat=3.0, texture=6.0),
}


@dataclass(frozen=True, kw_only=True)
class StepRule:
    """The movement of the loop. Steps and noise are shares of the budget of each pixel.

    The step falls linearly from `first_step` to `last_step`. `momentum` 0 is the plain sign step;
    1 adds up normalised gradients (Dong et al. 2018, arXiv 1710.06081). With `softness` c > 0 a
    pixel takes the whole step only where its momentum reaches c times the mean, and a
    proportional part below; 0 is the sign step. Soft steps spend less of the mean square error
    where it moves the latent little; where the bound is on what may be seen it counts by places
    (`attacks.ascent`). `start_noise`
    is the half-width of the uniform start, drawn where the layer before changed nothing. The loop
    ends early when the objective rose by less than `plateau_gain` (relative) over `plateau_span`
    iterations; span 0 never ends early.
    """

    iterations: int
    first_step: float
    last_step: float
    momentum: float
    start_noise: float
    softness: float = 0.0
    plateau_span: int = 0
    plateau_gain: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ObjectiveWeights:
    """The weights of the objective: terms of latents z, z0 of the original, t of the target.

    `away`: |z - z0|^2 / |z0|^2. `towards`: -|z - t|^2 / |t - z0|^2, as published. `along`: the
    share of the way from z0 to t that z has made in that direction; unlike `towards` it does not
    pull back what `away` gains beside that way. `aside`: how much of the other attacks' directions
    is taken out of that way, 0..1, so that each attack moves the latent in a direction of its own.
    `stray`: -|z - zb|^2 / |z0|^2, zb of the layer before the attack: keeps it from moving the
    latent in directions that are not its target's.
    """

    away: float = 0.0
    towards: float = 0.0
    along: float = 0.0
    aside: float = 0.0
    stray: float = 0.0


@dataclass(frozen=True, kw_only=True)
class AttackPreset:
    """One attack. `scales` are the sizes it is optimised for, as shares of the working size.

    `scale_weights` are how much each of them counts.
    `jpeg_share` is the share of the gradient that is taken through a JPEG of the picture, 0..1
    (`attacks.jpeg_gradient`).
    `full_rule` is the rule for other encoders than the bundled one: the bundled one only imitates
    another, so that more iterations through it gain nothing there. None: `rule` for all.
    `later_rule` is the rule, through any encoder, for what is added to a picture that another
    attack of the job has already moved. None: as for the first.
    `refining_rule` is the rule at the finer of the two sizes that a large picture is attacked at,
    in pieces and at that size alone, after half of the steps at the coarser one. None: all steps at
    one size.
    `is_bounded_by_sight` keeps the change within the visibility of the strength as well as within
    the budget.
    """

    rule: StepRule
    weights: ObjectiveWeights
    scales: tuple[float, ...]
    scale_weights: tuple[float, ...]
    jpeg_share: float = 0.0
    full_rule: StepRule | None = None
    later_rule: StepRule | None = None
    refining_rule: StepRule | None = None
    is_bounded_by_sight: bool = True

    def rule_for(self, encoder: str, *, after_attack: bool = False) -> StepRule:
        """Return how the loop moves through `encoder`; `after_attack`, where one came before."""
        if after_attack and self.later_rule is not None:
            return self.later_rule
        return self.rule if encoder == BUNDLED or self.full_rule is None else self.full_rule

    def rules_for(
        self, encoder: str, *, after_attack: bool = False, is_large: bool = False
    ) -> tuple[StepRule, ...]:
        """Return the rule of each size that the attack runs at, the coarser one first."""
        rule = self.rule_for(encoder, after_attack=after_attack)
        if self.refining_rule is None or not is_large:
            return (rule,)
        halved = replace(rule, iterations=-(-rule.iterations // 2))
        return halved, self.refining_rule


def _published(rule: StepRule) -> AttackPreset:
    return AttackPreset(
        rule=rule,
        weights=ObjectiveWeights(towards=1.0),
        scales=(1.0,),
        scale_weights=(1.0,),
        is_bounded_by_sight=False,
    )


_DEFAULT_RULE = StepRule(
    iterations=8,
    first_step=0.6,
    last_step=0.2,
    momentum=1.0,
    start_noise=0.1,
    softness=4.0,
    plateau_span=4,
    plateau_gain=0.01,
)
_DEFAULT = AttackPreset(
    rule=_DEFAULT_RULE,
    full_rule=replace(
        _DEFAULT_RULE, iterations=14, first_step=0.8, last_step=0.3, softness=4.0, plateau_span=0
    ),
    later_rule=replace(_DEFAULT_RULE, iterations=6, first_step=0.5),
    refining_rule=replace(
        _DEFAULT_RULE, iterations=1, first_step=1.5, start_noise=0.0, plateau_span=0
    ),
    weights=ObjectiveWeights(along=1.0, aside=0.2, stray=0.25),
    scales=(1.0, 0.5),
    scale_weights=(1.0, 0.5),
    jpeg_share=0.5,
)

_PUBLISHED = {
    # 1000 iterations; the authors' demonstration takes 200 with half of the step.
    "photoguard": StepRule(
        iterations=1000,
        first_step=2.55 / 7.65,
        last_step=2.55 / 7.65 / 100,
        momentum=0.0,
        start_noise=1.0,
    ),
    "mist": StepRule(
        iterations=100, first_step=1 / 16, last_step=1 / 16, momentum=0.0, start_noise=1.0
    ),
    # Shares of the released code's Linf of 10.2; the paper bounds LPIPS by 0.07 instead.
    "nightshade": StepRule(
        iterations=500, first_step=1.0, last_step=0.01, momentum=0.0, start_noise=0.0
    ),
}
# By stage, then by the name of the preset.
PRESETS = {
    stage: {DEFAULT_PRESET: _DEFAULT, PUBLISHED: _published(rule)}
    for stage, rule in _PUBLISHED.items()
}
