// What both pages are made of: texts, numbers, elements and the stream.
// Nothing here writes HTML from strings: what a remote calls itself stays text.

export const lang = document.documentElement.lang;
const texts = JSON.parse(document.getElementById("texts").textContent);

export function t(key, values = {}) {
  const text = texts[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

export const $ = (id) => document.getElementById(id);

// el makes an element: attributes by name, handlers by function, then children.
export function el(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") e.addEventListener(name, value);
    else if (value === true) e.setAttribute(name, "");
    else if (value !== false && value != null) e.setAttribute(name, value);
  }
  e.append(...children);
  return e;
}

// say changes a text only if it differs, so that a selection or a screen
// reader's place in it is kept.
export function say(e, text) {
  text = String(text);
  if (e.textContent !== text) e.textContent = text;
}

export function set(e, name, value) {
  if (e.getAttribute(name) !== String(value)) e.setAttribute(name, value);
}

// keyed keeps the children of parent equal to the items, by key: make builds a
// child with its update function, which then is called with each new item.
// A child whose item stays is never replaced, so focus stays in it.
export function keyed(parent, items, key, make) {
  const have = (parent.kept ??= new Map());
  const wanted = new Set();
  let at = null;
  for (const item of items) {
    const k = key(item);
    wanted.add(k);
    let child = have.get(k);
    if (!child) {
      child = make(item);
      have.set(k, child);
    }
    const next = at ? at.nextSibling : parent.firstChild;
    if (next !== child.element) parent.insertBefore(child.element, next);
    at = child.element;
    child.update(item);
  }
  for (const [k, child] of have) {
    if (wanted.has(k)) continue;
    child.element.remove();
    have.delete(k);
  }
}

const whole = new Intl.NumberFormat(lang);
const three = new Intl.NumberFormat(lang, { maximumSignificantDigits: 3 });
const moments = new Intl.DateTimeFormat(lang, { dateStyle: "medium", timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat(lang, { numeric: "auto", style: "long" });

export const number = (n) => whole.format(n);

export function bytes(n) {
  const units = t("unit.bytes").split(" ");
  let i = 0;
  while (n >= 999.5 && i < units.length - 1) {
    n /= 1024;
    i++;
  }
  return three.format(n) + "\u00a0" + units[i];
}

export const rate = (n) => bytes(Math.round(n)) + "/s";

// span is a time span in its largest unit, or the two largest.
export function span(seconds) {
  const unit = (n, name) => new Intl.NumberFormat(lang, { style: "unit", unit: name, unitDisplay: "short" }).format(n);
  const s = Math.round(seconds);
  if (s < 60) return unit(s, "second");
  if (s < 3600) return unit(Math.floor(s / 60), "minute") + (s < 600 && s % 60 ? " " + unit(s % 60, "second") : "");
  if (s < 172800) return unit(Math.floor(s / 3600), "hour") + (s % 3600 >= 60 ? " " + unit(Math.floor((s % 3600) / 60), "minute") : "");
  return unit(Math.floor(s / 86400), "day");
}

function ago(date) {
  const s = (date - Date.now()) / 1000;
  const a = Math.abs(s);
  if (a < 60) return relative.format(Math.round(s), "second");
  if (a < 3600) return relative.format(Math.round(s / 60), "minute");
  if (a < 172800) return relative.format(Math.round(s / 3600), "hour");
  return relative.format(Math.round(s / 86400), "day");
}

export const moment = (text) => moments.format(new Date(text));

// when puts a moment into a <time>; it is told anew as time goes on.
export function when(e, text) {
  if (!text) {
    e.removeAttribute("datetime");
    e.removeAttribute("title");
    return say(e, t("never"));
  }
  set(e, "datetime", text);
  set(e, "title", moment(text));
  say(e, ago(new Date(text)));
}

setInterval(() => {
  for (const e of document.querySelectorAll("time[datetime]")) say(e, ago(new Date(e.dateTime)));
}, 10_000);

// pill shows a state by its word and a kind of colour.
const kinds = { live: "ok", published: "ok", "catching up": "busy", reconciling: "busy", scanning: "busy", held: "warn", problems: "bad", offline: "bad", paused: "idle", waiting: "idle", unknown: "idle" };
export function pill(e, state) {
  set(e, "class", "state");
  set(e, "data-kind", kinds[state] ?? "idle");
  say(e, t("state." + state));
}

// announce tells screen readers of a change that a sighted user sees.
export const announce = (text) => say($("said"), text);

let toastTimer;
export function toast(text) {
  const e = $("toast");
  e.hidden = false;
  say(e, text);
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { e.hidden = true; }, 6000);
}

function link(state) {
  set($("link"), "data-state", state);
  say($("link"), t("link." + state));
}

// follow keeps the state as the stream tells it and calls show after each change.
export function follow(show, showHistory) {
  const parts = new Map();
  let history = {};
  const listen = () => {
    const source = new EventSource("/events");
    source.addEventListener("state", (e) => {
      const u = JSON.parse(e.data);
      if (u.all) parts.clear();
      for (const [name, value] of Object.entries(u.set ?? {})) parts.set(name, value);
      for (const name of u.gone ?? []) parts.delete(name);
      link("live");
      show(parts);
    });
    source.addEventListener("history", (e) => {
      history = JSON.parse(e.data);
      showHistory(history);
    });
    source.addEventListener("point", (e) => {
      const point = JSON.parse(e.data);
      for (const name of Object.keys(history)) if (!(name in point)) delete history[name];
      for (const [name, value] of Object.entries(point)) {
        history[name] = [...(history[name] ?? []), value].slice(name === "" ? -360 : -60);
      }
      showHistory(history);
    });
    source.addEventListener("bye", () => { source.close(); location.assign("/login"); });
    source.addEventListener("error", async () => {
      link("gone");
      if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself
      try {
        const answer = await fetch("/", { redirect: "manual" });
        if (answer.type === "opaqueredirect") return location.assign("/login");
      } catch { /* the service is away */ }
      setTimeout(listen, 3000);
    });
  };
  listen();
}

// of returns the parts below a prefix, in order of their names.
export function of(parts, prefix) {
  return [...parts].filter(([name]) => name.startsWith(prefix))
    .map(([name, value]) => ({ name: name.slice(prefix.length), ...value }))
    .sort((a, b) => a.name.localeCompare(b.name, lang, { numeric: true }));
}

// post asks for a change; it throws an Error with a text for people.
export async function post(path, body = {}) {
  const answer = await fetch("/api/" + path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": document.querySelector("meta[name=csrf]").content },
    body: JSON.stringify(body),
  });
  if (answer.status === 401) location.assign("/login");
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error + (said.hint ? " – " + said.hint : ""));
  return said;
}
