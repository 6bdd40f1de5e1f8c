/** Starts the page: texts, session, limits; then one screen after another, by the address. */
import { showChoices } from "./choices.js";
import { find } from "./elements.js";
import { ask } from "./gateway.js";
import { clearJobs, refreshJobs, setUpJobs } from "./job_list.js";
import { leaveJob, showJob } from "./job_screen.js";
import { setLimits, told } from "./problems.js";
import { setUpSession, startSession } from "./session.js";
import { loadStrings, say } from "./strings.js";
import { setUpSwitches } from "./switches.js";
import { setUpTray } from "./tray.js";
import { setUpWatermarks } from "./watermark_screen.js";

const RETRY_MS = 2000;
let mayCall = false;

function showScreen(name) {
  document.body.dataset.screen = name;
  for (const screen of document.querySelectorAll("[data-screen]")) {
    if (screen !== document.body) screen.hidden = screen.dataset.screen !== name;
  }
  const here = name === "watermark" ? "#/watermark" : "#/";
  for (const link of document.querySelectorAll(".top nav a")) {
    if (link.getAttribute("href") === here && name !== "job") link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (name !== "job") document.title = `${say(`title.${name}`)} – ${say("title")}`;
  return document.querySelector(`main [data-screen="${name}"]`);
}

/** Goes where the address says; the heading takes the focus unless the page has just loaded. */
async function route(event) {
  leaveJob();
  const [, kind, id] = location.hash.split("/");
  let screen;
  if (!mayCall) screen = showScreen("sign-in");
  else if (kind === "jobs" && /^[0-9a-f]{32}$/.test(id)) {
    screen = showScreen("job");
    await showJob(screen, id);
  } else if (kind === "watermark") screen = showScreen("watermark");
  else {
    screen = showScreen("protect");
    refreshJobs();
  }
  if (!event) return;
  window.scrollTo(0, 0);
  if (document.activeElement !== find("key")) screen.querySelector("h1")?.focus();
}

async function start() {
  try {
    mayCall = await startSession();
    const limits = await ask("v1/limits");
    setLimits(limits);
    showChoices(limits);
    setUpTray(limits);
  } catch (problem) {
    const place = find("connection");
    place.hidden = false;
    place.replaceChildren(told(problem));
    setTimeout(start, RETRY_MS);
    return;
  }
  find("connection").hidden = true;
  setUpJobs();
  setUpWatermarks();
  await route(null);
  window.addEventListener("hashchange", route);
}

await loadStrings();
setUpSwitches();
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the part behind # says which screen is shown
  find("main").focus();
});
setUpSession({
  signedIn: () => { mayCall = true; route(new Event("signed-in")); },
  signedOut: () => { mayCall = false; clearJobs(); route(new Event("signed-out")); },
});
window.addEventListener("signed-out", () => {
  if (!mayCall) return;
  mayCall = false;
  clearJobs();
  route(new Event("signed-out"));
});
start();
