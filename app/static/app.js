// Requests /version twenty times and counts the responses of each worker. Without scripts the section stays hidden.
"use strict";

const section = document.querySelector("#ask");
const button = section.querySelector("button");
const rows = section.querySelector("tbody");
const status = section.querySelector("[role=status]");
const TIMES = 20;

async function ask() {
  if (button.ariaDisabled === "true") return;
  button.ariaDisabled = "true"; // not disabled: that would take the keyboard's focus away
  const answers = new Map();
  const started = performance.now();
  try {
    for (let time = 0; time < TIMES; time += 1) {
      const response = await fetch("/version", { cache: "no-store" });
      if (!response.ok) throw new Error(`the answer was ${response.status}`);
      const { backend, release, worker } = await response.json();
      const who = [backend, release, worker].join("\n");
      answers.set(who, (answers.get(who) ?? 0) + 1);
    }
    section.querySelector("table").hidden = false;
    rows.replaceChildren(...[...answers].sort().map(([who, count]) => row([...who.split("\n"), count])));
    status.textContent = `${TIMES} answers, ${((performance.now() - started) / TIMES).toFixed(1)} ms each.`;
  } catch (error) {
    status.textContent = `No answer: ${error.message}.`;
  } finally {
    button.ariaDisabled = "false";
  }
}

function row(texts) {
  const line = document.createElement("tr");
  for (const text of texts) line.insertCell().textContent = text;
  return line;
}

button.addEventListener("click", ask);
section.hidden = false;
