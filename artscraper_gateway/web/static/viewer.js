/** The pictures of a finished job: tools, comparison, steps. */
import { Comparison } from "./comparison.js";
import { element } from "./dom.js";
import { formatPercent, stageName, t } from "./strings.js";
import { layerThumbnail } from "./thumbnails.js";

const ZOOMS = ["fit", 1, 2, 4];
const LOOK_ZOOM = 2;

/** Return `{ element, lookAt(place) }`; `onStage(stage)` is called when another step is shown. */
export function viewer(job, layers, onStage) {
  const comparison = new Comparison(job.job_id, layers);
  const steps = layers.length > 1 ? layers.slice(1) : layers;
  const last = steps.at(-1).stage;
  const zooms = segments("zoom", t("viewer.zoom"), zoomOptions(), (zoom) => comparison.show({ zoom }));
  const views = segments("view", t("viewer.view"), viewOptions(), (view) => {
    comparison.show({ view });
    zooms.disabled = view === "change"; // the change is shown at one size only
  });
  const panel = element(
    "section",
    { class: "panel viewer", "aria-labelledby": "viewer-heading" },
    element("h2", { id: "viewer-heading", class: "visually-hidden" }, t("viewer.heading")),
    element("div", { class: "viewer-tools" }, steps.some((layer) => layer.mask_url) ? views : null, zooms),
    comparison.element,
    comparison.hint,
    steps.length > 1 ? stepStrip(job, steps, last, (stage) => {
      comparison.show({ stage });
      onStage(stage);
    }) : null,
  );
  // Sizes are known once it is part of the page.
  requestAnimationFrame(() => comparison.show({ stage: last }));
  return { element: panel, lookAt: (focus) => lookAt(panel, comparison, focus) };
}

/** Enlarge the place and put the divider on it. */
function lookAt(panel, comparison, focus) {
  panel.querySelector("input[name=zoom][data-index='2']").checked = true;
  const compare = panel.querySelector("input[name=view]");
  if (compare) compare.checked = true;
  panel.querySelector(".zoom").disabled = false;
  comparison.divider = 0.5;
  comparison.show({ zoom: LOOK_ZOOM, view: "compare", focus });
  panel.scrollIntoView({ block: "nearest" });
  comparison.slider?.focus({ preventScroll: true });
}

const zoomOptions = () => ZOOMS.map((zoom) => [zoom, zoom === "fit" ? t("viewer.fit") : formatPercent(zoom)]);
const viewOptions = () => [["compare", t("viewer.compare")], ["change", t("viewer.change")]];

function segments(name, legend, options, choose) {
  const labels = options.map(([value, text], index) =>
    element(
      "label",
      {},
      element("input", { type: "radio", name, "data-index": String(index), checked: index === 0, onchange: () => choose(value) }),
      text,
    ),
  );
  return element(
    "fieldset",
    { class: name },
    element("legend", { class: "visually-hidden" }, legend),
    element("div", { class: "segments" }, ...labels),
  );
}

function stepStrip(job, steps, first, choose) {
  const labels = steps.map((layer) =>
    element(
      "label",
      {},
      element("input", {
        type: "radio",
        name: "layer",
        value: layer.stage,
        checked: layer.stage === first,
        onchange: () => choose(layer.stage),
      }),
      layerThumbnail(job.job_id, layer.stage, 240),
      stageName(layer.stage),
      layer.applied ? null : element("small", {}, t("viewer.layer.skipped")),
    ),
  );
  const strip = element("div", { class: "strip" }, ...labels);
  requestAnimationFrame(() => { strip.scrollLeft = strip.scrollWidth; });
  return element("fieldset", {}, element("legend", { class: "visually-hidden" }, t("viewer.layers")), strip);
}
