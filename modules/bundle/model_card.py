"""Write the model card of an edge bundle from the content of its `bundle.json`.

The sections follow Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019). Facts that only people know come
from the configuration (`card`, and the texts of `edge`); if they are not given, the card says so and does not guess.
"""

from __future__ import annotations

from typing import Any

from edgetune.modules.core.untrusted_text import as_markdown

_PURPOSE = {"train": "training", "eval": "choice of the best epoch", "test": "measurements below"}
# Fields of `modules.evaluation.gates.Gate` that are left out if they say nothing.
_GATE = {"images": None, "whole": False, "at_most": False, "reason": ""}
# Here and not in a file of its own, so that the digest of the code covers it.
_TEMPLATE = """\
# {{ lineage.pipeline }}: image classifier for phones

{% if about.description %}
{{ about.description }}

{% endif %}
Assigns an image to one of {{ labels | length }} classes: {{ labels | map("plain") | join(", ") }}.

- author: {{ about.author or unknown }}
- licence: {{ about.license or unknown }}

## Intended use

{% if about.intended_use %}
{{ about.intended_use }}
{% else %}
{{ unknown }} The model was made to assign single images to the classes above on a mobile device, and was measured \
for that purpose only. Users must judge whether its error rates, listed below, are acceptable.
{% endif %}

## Input and output

{% set size = input.shape[1] %}
The input is one upright RGB image of {{ size }} x {{ size }} pixels, with values from 0 to 255. \
{% if input.std == 1 %}
Do not normalise the values: the model does it. \
{% else %}
The float variants take (value - {{ "%g" | format(input.mean) }}) / {{ "%g" | format(input.std) }}, and `int8` the \
value itself. \
{% endif %}
Resize other images by stretching them to the square, as for training and measuring. The \
output is one probability for each class, in the order of `labels.txt`. The folder `golden/` contains test images and \
the probabilities that the model must give for them.

## Data

{{ about.data or unknown ~ " Only the people who collected the images know what they show and who owns them." }}
{% if images %}

| class |{% for split in images %} {{ split }}: {{ purpose.get(split, split) }} |{% endfor %}

|-|{{ "-:|" * (images | length) }}
{% for label in labels %}
| {{ label | plain }} |{% for counts in images.values() %} {{ counts.get(label, 0) }} |{% endfor %}

{% endfor %}
| all |{% for counts in images.values() %} {{ counts.values() | sum }} |{% endfor %}

{% endif %}

## Variants

| variant | bytes | accuracy | agreement | p50, ms | p95, ms |
|-|-:|-:|-:|-:|-:|
{% for name, facts in variants.items() %}
{% set latency = facts.latency or {"p50_ms": "-", "p95_ms": "-"} %}
| {{ name }} | {{ facts.bytes }} | {{ facts.accuracy | share }} | {{ facts.agreement | share }} \
| {{ latency.p50_ms }} | {{ latency.p95_ms }} |
{% endfor %}

Measured on {{ test.images }} test images. The server model, from which the variants were converted, has an accuracy \
of {{ saved_model.accuracy | share }} on them. Agreement is the share of images for which a variant and the server \
model name the same class.
{% for timed in (variants.values() | map(attribute="latency") | select | list)[:1] %}

p50 and p95 are the median and the 95th percentile of the time for one image, without decoding and resizing, over \
{{ timed.runs }} runs on {{ timed.threads }} thread{{ "" if timed.threads == 1 else "s" }} of {{ timed.cpu }} with \
{{ runtime }}. Times on a phone will differ.
{% endfor %}
{% if variants.values() | selectattr("arithmetic", "defined") | list %}

### Arithmetic

Accuracy and agreement were measured on a CPU. GPUs and NPUs compute all variants but `int8` in half precision by \
default, in which no value or sum may exceed 65,504. This was emulated, not measured on such hardware.

| variant | measured on | in half precision |
|-|-|-|
{% for name, facts in variants.items() %}
| {{ name }} | {{ facts.arithmetic.measured_in }} | {{ facts.arithmetic.half_precision | half }} |
{% endfor %}
{% endif %}

{% if judged %}
## Conditions

The conditions that decided on the release, with the 95 % interval of what was measured.

| model | condition | setting | measured | 95 % interval | needed | images | passed |
|-|-|-|-:|-:|-:|-:|-|
{% for gate in judged %}
| {{ gate.subject }} | {{ gate.what }} | {{ gate.name }} | {{ gate | value(gate.measured) }} | {{ gate | ends }} \
| {{ "at most " if gate.at_most else "" }}{{ gate | value(gate.needed) }} | {{ gate.images or "-" }} \
| {{ {true: "yes", false: "no"}.get(gate.passed, "not applied: " ~ gate.reason | plain) }} |
{% endfor %}

{% endif %}
## Accuracy by class

The share of the test images of each class that are classified correctly (recall).

| class | test images | server model | {{ variants | join(" | ") }} |
|-|-:|-:|{{ "-:|" * (variants | length) }}
{% for label, server in saved_model.per_class.items() %}
| {{ label | plain }} | {{ server.examples }} | {{ server.accuracy | share }} |\
{% for facts in variants.values() %} {{ facts.per_class[label].accuracy | share }} |{% endfor %}

{% endfor %}

{% set c = calibration %}
## Probabilities

{% if c.after.ece is not none %}
On {{ test.images }} test images, the expected calibration error of the server model is {{ c.after.ece | share }} \
({{ c.bins }} bins of equal width, Guo et al. 2017): the mean distance between a probability and the share of right \
answers with it. {% if c.temperature != 1 %}
Its logits are divided by a temperature of {{ "%.3g" % c.temperature }}, fitted on the eval split; without that, the \
error would be {{ c.before.ece | share }}.
{% else %}
Its probabilities were not scaled.
{% endif %}

{% endif %}
The threshold of a class was chosen on the eval split, so that {{ "%g" % (100 * c.precision) }} % of the answers at \
and above it are right there. Treat an answer below it as unsure. A class without a threshold did not reach that \
share with at least {{ c.min_answers }} answers: none of its answers should be taken for certain. Precision and \
coverage, the share of answers that reach the threshold, were measured on the test images.

| class | threshold | precision | coverage | answers accepted |
|-|-:|-:|-:|-:|
{% for label in labels %}
{% set row = c.test[loop.index0] %}
| {{ label | plain }} | {{ c.thresholds[loop.index0] | share }} | {{ row.precision | share }} \
| {{ row.coverage | share }} | {{ row.accepted }} of {{ row.answers }} |
{% endfor %}
| all | | {{ c.selection.precision | share }} | {{ c.selection.coverage | share }} \
| {{ c.selection.accepted }} of {{ c.selection.answers }} |
{% for name, facts in variants.items() if facts.calibration %}
{% set found = facts.calibration.selection %}
| all, {{ name }} | | {{ found.precision | share }} | {{ found.coverage | share }} \
| {{ found.accepted }} of {{ found.answers }} |
{% endfor %}

{% if c.unknown %}
Of {{ c.unknown.images }} images that show none of the classes, {{ c.unknown.accepted }} reach the threshold of a class.

{% endif %}
## Limits

{% if about.limits %}
{{ about.limits }}

{% endif %}
- The model names one of its classes for every image, including images that show none of them. A low probability is \
the only sign of that{{ "" if calibration.unknown else ", and how often it fails was not measured" }}.
- The test images come from the same collection as the training images. The accuracy on other images can be much \
lower; it was not measured.
- The accuracies are estimates from {{ test.images }} test images, with a margin of error of up to \
± {{ "%.3f" % margin }} (95 % confidence); for a single class it is larger.
- Thresholds and calibration hold for images like those of the test split, with the same shares of the classes.
- Accuracy was measured by class only. Differences between groups of people or between places are unknown.
{% if absent %}
- These classes have no test images, so their accuracy is unknown: {{ absent | map("plain") | join(", ") }}.
{% endif %}

## Lineage

- pipeline: {{ lineage.pipeline }}
- version: the name of this folder where it was released; the highest number in `releases/` beside it is served
- digest of the configuration: `{{ lineage.config_digest }}`
- digest of the server model: `{{ lineage.saved_model_sha256 }}`
{% if lineage.get("weights_sha256") %}
- digest of its weights and class names: `{{ lineage.weights_sha256 }}`
{% endif %}
{% if lineage.get("data_digest") %}
- digest of all images: `{{ lineage.data_digest }}`
{% endif %}
- digest of the test images: `{{ lineage.test_data_sha256 }}`
{% for name, digest in lineage.code.items() %}
- digest of the code for {{ name }}: `{{ digest }}`
{% endfor %}
{% for step, versions in lineage.versions.items() %}
- {{ step | replace("_", " ") }} made with: {{ versions | libraries }}
{% endfor %}
"""


def model_card(bundle: dict[str, Any]) -> str:
    """Return the card as Markdown.

    Args:
        bundle: Content of `bundle.json`.
    """
    import jinja2

    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"plain": as_markdown, "share": _share, "libraries": _libraries, "half": _half}
    environment.filters |= {"value": _value, "ends": _ends}
    test, per_class = bundle["test"]["images"], bundle["saved_model"]["per_class"]
    about = dict.fromkeys(("description", "author", "license", "data", "intended_use", "limits")) | bundle.get(
        "about", {}
    )
    values: dict[str, Any] = {
        **bundle,
        "about": about,
        "images": bundle.get("images", {}),
        # Bundles of earlier versions have none.
        "judged": [
            {**_GATE, **gate}
            for gates in (bundle.get("gates", []), *(facts.get("gates", []) for facts in bundle["variants"].values()))
            for gate in gates
        ],
        "unknown": "Not stated.",
        "purpose": _PURPOSE,
        # Normal approximation of a binomial proportion at one half, where the interval is widest.
        "margin": 1.96 * 0.5 / max(test, 1) ** 0.5,
        "absent": [label for label, facts in per_class.items() if not facts["examples"]],
    }
    return environment.from_string(_TEMPLATE).render(values)


def _libraries(versions: dict[str, str | None] | None) -> str:
    if versions is None:
        return "not recorded"
    return ", ".join(f"{name} {version}" if version else f"no {name}" for name, version in versions.items())


def _half(facts: dict[str, Any] | None) -> str:
    """Describe `half_precision` of a variant."""
    if facts is None:
        return "not used: integers only"
    if facts["safe"] is None:
        return f"unknown: {as_markdown(facts['problem'])}"
    if not facts["safe"]:
        return f"**do not use**: {as_markdown(facts['problem'])}"
    return f"safe: the largest sum is {facts['largest_sum']:,.0f} on {facts['images']} test images"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _value(gate: dict[str, Any], value: float | None) -> str:
    return _share(value) if value is None or not gate["whole"] else f"{value:.0f}"


def _ends(gate: dict[str, Any]) -> str:
    return "-" if gate["low"] is None else f"{gate['low']:.4f} to {gate['high']:.4f}"
