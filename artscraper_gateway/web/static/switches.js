/** Language and colours: kept as cookies, so that the gateway sends the page as it was left. */
import { find } from "./elements.js";

const YEAR_S = 365 * 86400;

function keep(name, value) {
  const path = new URL(".", location.href).pathname;
  document.cookie = `${name}=${value}; path=${path}; max-age=${value ? YEAR_S : 0}; SameSite=Lax`;
}

export function setUpSwitches() {
  find("theme").addEventListener("change", ({ target }) => {
    keep("theme", target.value);
    if (target.value) document.documentElement.dataset.theme = target.value;
    else delete document.documentElement.dataset.theme;
  });
  find("language").addEventListener("change", ({ target }) => {
    keep("language", target.value);
    location.reload();
  });
}
