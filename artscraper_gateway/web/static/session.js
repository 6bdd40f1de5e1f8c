/** Sign in with an API key; the key ends up in a cookie that scripts cannot read. */
import { request, setCsrfToken } from "./api.js";
import { byId } from "./dom.js";
import { problemMessage } from "./problems.js";

/** Return whether calls are allowed: signed in, or a gateway without keys. */
export async function startSession() {
  return apply(await request("v1/session"));
}

function apply(session) {
  setCsrfToken(session.csrf_token);
  byId("sign-out").hidden = !session.signed_in;
  return session.signed_in || !session.needs_key;
}

export function setUpSession({ onSignedIn, beforeSignOut, onSignedOut }) {
  const field = byId("key");
  byId("sign-in").addEventListener("submit", async (event) => {
    event.preventDefault();
    byId("key-error").replaceChildren();
    try {
      apply(await request("v1/session", { method: "POST", json: { key: field.value.trim() } }));
      field.value = "";
      onSignedIn();
    } catch (problem) {
      byId("key-error").replaceChildren(problemMessage(problem));
      field.focus();
    }
  });
  byId("sign-out").addEventListener("click", async () => {
    await beforeSignOut();
    apply(await request("v1/session", { method: "DELETE" }));
    onSignedOut();
  });
}
