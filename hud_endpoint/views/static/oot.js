// What a script adds to pages that work without one: the reader's own time zone, filtering while typing, live parts.
"use strict";

const shown = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    const part = time.querySelector(".at");
    if (Number.isNaN(at.getTime())) continue;
    if (part) part.textContent = shown.format(at);
    time.title = `${at.toLocaleString()} here · ${time.dateTime.replace("T", " ").replace("Z", "")} UTC`;
  }
}

function filterWhileTyping(input) {
  const rows = document.querySelectorAll(`[data-rows="${input.dataset.filter}"] tr[data-text]`);
  const told = document.getElementById(`${input.dataset.filter}-told`);
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    let left = 0;
    for (const row of rows) {
      row.hidden = !row.dataset.text.includes(wanted);
      left += row.hidden ? 0 : 1;
    }
    for (const body of document.querySelectorAll(`[data-rows="${input.dataset.filter}"]`)) {
      body.hidden = ![...body.querySelectorAll("tr[data-text]")].some((row) => !row.hidden);
    }
    if (told) told.textContent = `${left} of ${rows.length} shown`;
  });
}

// A live part says in data-live after how many seconds it is read again; 0 when nothing in it runs.
function wait() {
  const seconds = [...document.querySelectorAll("[data-live]")].map((part) => Number(part.dataset.live)).filter((s) => s > 0);
  return seconds.length ? Math.min(...seconds) : 0;
}

// What the reader holds in a part that is about to be replaced: a function that finds it in the fresh one.
function held(part) {
  const focused = document.activeElement;
  if (!part.contains(focused)) return () => null;
  const details = focused.closest("details[id]");
  if (focused.tagName === "SUMMARY" && details) {
    return (fresh) => fresh.querySelector(`#${CSS.escape(details.id)} > summary`);
  }
  return (fresh) => [...fresh.querySelectorAll("a[href]")].find((link) => link.href === focused.href);
}

function replace(part, fresh) {
  const selection = document.getSelection();
  if (!selection.isCollapsed && part.contains(selection.anchorNode)) return;
  for (const details of part.querySelectorAll("details[id]")) {
    const same = fresh.querySelector(`#${CSS.escape(details.id)}`);
    if (same) same.open = details.open;
  }
  localTimes(fresh);
  const find = held(part);
  part.replaceWith(fresh);
  find(fresh)?.focus({ preventScroll: true });
}

async function refresh() {
  const parts = [...document.querySelectorAll("[data-live]")];
  const from = parts.find((part) => part.dataset.liveFrom)?.dataset.liveFrom ?? location.href;
  for (const part of parts) part.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(from, { headers: { accept: "text/html" } });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of parts) {
      const fresh = page.getElementById(part.id);
      if (fresh) replace(part, document.importNode(fresh, true));
    }
  } finally {
    for (const part of parts) part.removeAttribute("aria-busy");
  }
}

function keepLive() {
  const seconds = wait();
  if (!seconds) return;
  setTimeout(async () => {
    const told = document.getElementById("live-told");
    try {
      if (!document.hidden) await refresh();
      told.textContent = "";
    } catch {
      told.textContent = `What runs could not be read again; the next try is in ${seconds} s.`;
    }
    keepLive();
  }, seconds * 1000);
}

localTimes(document);
document.querySelectorAll("input[data-filter]").forEach(filterWhileTyping);
keepLive();
