"""Registers the stages that tests need in a gateway that was started with this folder on its path.

`gate` waits where a test can find it and kill its process; `deadly` kills its process itself when
the picture is 301 px wide, as a broken decoder would; `broken` raises. `endless`, which has to be
named, never ends by itself.
"""

import os

from artscraper_runner import stages as protections

for name, class_name in (("gate", "Gate"), ("deadly", "Deadly"), ("broken", "Broken")):
    protections._STAGES[name] = protections.StageEntry("stages_that_misbehave", class_name)
protections._STAGES["endless"] = protections.StageEntry(
    "stages_that_misbehave", "Endless", by_default=False
)

if os.environ.get("CLOCK_STEPS"):
    import stepped_clock

    stepped_clock.lay()

if os.environ.get("DIE_AT_EACH_BOUNDARY"):
    from boundaries import lay

    lay()
