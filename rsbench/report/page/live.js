"use strict";

// Asks now and then whether the report has changed, and loads it anew when it has. Who does not look does not ask.
const EVERY_MS = 5000;
const { tag } = document.currentScript.dataset;

async function look() {
  if (!document.hidden) {
    try {
      const answer = await fetch("/", { method: "HEAD", cache: "no-store", headers: { "If-None-Match": tag } });
      if (answer.ok) return location.reload();
    } catch {
      // The server was stopped: the page stays as it is, and goes on when there is one again.
    }
  }
  setTimeout(look, EVERY_MS);
}
setTimeout(look, EVERY_MS);
