// Parts that the main's and the remote's page share.
import { bytes, el, keyed, number, pill, rate, say, set, span, t, when } from "./ui.js";

// values is a list of figures; update takes { key: [text, alarm] } in order.
export function values(labels) {
  const element = el("dl", { class: "values" });
  const cells = {};
  for (const [key, label] of Object.entries(labels)) {
    const dd = el("dd", {}, "–");
    cells[key] = { box: el("div", {}, el("dt", {}, label), dd), dd };
    element.append(cells[key].box);
  }
  return {
    element,
    cell: (key) => cells[key].dd,
    put(key, text, alarm = false) {
      say(cells[key].dd, text);
      cells[key].box.classList.toggle("alarm", alarm);
    },
  };
}

// problems is the folded list of what went wrong.
export function problems() {
  const summary = el("summary");
  const list = el("ul", { class: "troubles" });
  const more = el("p", { class: "quiet" });
  const element = el("details", { hidden: true }, summary, list, more);
  return {
    element,
    update(all = [], count = all.length) {
      element.hidden = all.length === 0;
      say(summary, count === 1 ? t("problems.one") : t("problems.some", { n: number(count) }));
      more.hidden = count <= all.length;
      say(more, t("problems.more", { n: number(count - all.length) }));
      keyed(list, all, (p) => p.path + "\0" + p.op, () => {
        const path = el("p", { class: "mono" }), cause = el("p"), hint = el("p", { class: "quiet" });
        const tries = el("span"), next = el("time"), again = el("p", { class: "quiet" }, tries, " ", next);
        return {
          element: el("li", {}, path, cause, hint, again),
          update(p) {
            say(path, p.path);
            say(cause, p.op ? p.op + ": " + p.cause : p.cause);
            hint.hidden = !p.hint;
            say(hint, p.hint ?? "");
            again.hidden = !p.tries;
            say(tries, t("problem.tries", { n: number(p.tries ?? 0) }) + (p.next ? " · " + t("problem.next", { time: "" }).trim() : ""));
            if (p.next) when(next, p.next); else next.textContent = "";
          },
        };
      });
    },
  };
}

// transfers is the list of files on their way.
function transfers() {
  const list = el("ul");
  const element = el("div", { class: "moving", hidden: true }, el("p", { class: "quiet" }, t("transfers")), list);
  return {
    element,
    update(all = []) {
      element.hidden = all.length === 0;
      keyed(list, all, (f) => f.path, () => {
        const path = el("span", { class: "mono" }), numbers = el("span", { class: "quiet" }), bar = el("progress");
        return {
          element: el("li", {}, el("div", { class: "row" }, path, numbers), bar),
          update(f) {
            say(path, f.path);
            const told = [t("transfer.of", { done: bytes(f.done), size: bytes(f.size) })];
            if (f.rate) told.push(rate(f.rate));
            if (f.eta) told.push(t("time.left", { time: span(f.eta) }));
            say(numbers, told.join(" · "));
            set(bar, "aria-label", f.path);
            set(bar, "max", Math.max(f.size, 1));
            set(bar, "value", f.done);
          },
        };
      });
    },
  };
}

// copy is a share on a remote: how far it is and what is under way.
export function copy(tag, level) {
  const name = el(level), state = el("span"), dir = el("p", { class: "quiet mono", hidden: true });
  const holds = el("span", { class: "end quiet" }), waits = el("span", { class: "quiet", hidden: true });
  const bar = el("progress", { hidden: true });
  const figures = values({
    events: t("lag.events"), bytes: t("lag.bytes"), age: t("lag.age"), eta: t("lag.eta"), errors: t("lag.errors"),
  });
  const moving = transfers(), wrong = problems();
  return {
    element: el(tag, { class: tag === "article" ? "card" : null },
      el("div", { class: "head" }, name, state, waits, holds), dir, bar, figures.element, moving.element, wrong.element),
    update(s) {
      say(name, s.name);
      pill(state, s.errors && s.state === "live" ? "problems" : s.state);
      waits.hidden = s.state !== "waiting";
      say(waits, s.until ? t("lag.waitsuntil", { time: s.until }) : t("lag.waits"));
      // A share that is as it should be needs one line only.
      figures.element.hidden = !(s.lagEvents || s.lagBytes || s.lagAge || s.errors);
      say(holds, t("lag.files", { n: number(s.files), size: bytes(s.bytes) }));
      dir.hidden = !s.dir;
      say(dir, s.dir ?? "");
      bar.hidden = !s.lagBytes;
      if (s.lagBytes) {
        set(bar, "aria-label", t("lag.progress", { name: s.name }));
        set(bar, "max", s.bytes + s.lagBytes);
        set(bar, "value", s.bytes);
      }
      figures.put("events", s.lagEvents < 0 ? "?" : number(s.lagEvents));
      figures.put("bytes", bytes(s.lagBytes));
      figures.put("age", s.lagAge ? span(s.lagAge) : "–");
      figures.put("eta", s.eta ? span(s.eta) : "–");
      figures.put("errors", number(s.errors), s.errors > 0);
      moving.update(s.transfers);
      wrong.update(s.problems, s.errors);
    },
  };
}

const svgSpace = "http://www.w3.org/2000/svg";
function svg(tag, attributes) {
  const e = document.createElementNS(svgSpace, tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  return e;
}

// draw shows points (the newest last) in a box of slots × 100 units.
function draw(picture, points, slots, most) {
  const x = (i) => slots - points.length + i + 1;
  const y = (v) => 100 - (v / most) * 92;
  const line = points.map((v, i) => (i ? "L" : "M") + x(i) + " " + y(v).toFixed(2)).join("");
  const rules = [8, 54, 100].map((h) => svg("path", { class: "rule", d: `M0 ${h}H${slots}` }));
  picture.replaceChildren(...(picture.classList.contains("spark") ? [] : rules));
  if (points.length < 2) return;
  picture.append(
    svg("path", { class: "area", d: line + `L${slots} 100L${x(0)} 100Z` }),
    svg("path", { class: "trace", d: line }));
}

// chart is the hour's throughput with its axis, or that of ten minutes while there
// is no more.
export function chart(parent) {
  const most = 360, few = 60; // steps of ten seconds
  const picture = svg("svg", { preserveAspectRatio: "none", role: "img" });
  const from = el("span"), top = el("span");
  const none = el("p", { class: "quiet" }, t("chart.none"));
  const axis = el("div", { class: "axis" }, from, top, el("span", {}, t("chart.now")));
  parent.append(picture, axis, none);
  return (points = []) => {
    const peak = Math.max(...points, 0);
    const slots = points.length > few ? most : few;
    picture.setAttribute("viewBox", `0 0 ${slots} 100`);
    say(from, t("chart.ago", { time: span(slots * 10) }));
    axis.hidden = points.length < 2;
    none.hidden = points.length > 1;
    picture.setAttribute("aria-label", t("chart.label", { now: rate(points.at(-1) ?? 0), most: rate(peak) }));
    say(top, "↑ " + rate(peak));
    draw(picture, points, slots, Math.max(peak, 1));
  };
}

export function spark() {
  const picture = svg("svg", { viewBox: "0 0 60 100", preserveAspectRatio: "none", role: "img", class: "spark", "aria-label": t("chart.spark") });
  return {
    element: picture,
    update(points = []) {
      draw(picture, points, 60, Math.max(...points, 1));
    },
  };
}

// allowed tells what a line may be used for now, and by which rules; empty when
// there is none.
export function allowed(b = {}) {
  const told = [];
  if (b.passing) told.push(t("bandwidth.passing"));
  else if (b.now && (b.main || b.own)) {
    const now = b.now === "off" ? t("bandwidth.off") : b.now === "unlimited" ? t("bandwidth.unlimited") : b.now;
    told.push(b.until ? t("bandwidth.until", { now, time: b.until }) : now);
  }
  if (b.main) told.push(t("bandwidth.main", { rule: b.main }) + (b.awaited ? ", " + t("bandwidth.awaited") : ""));
  if (b.own) told.push(t("bandwidth.own", { rule: b.own }));
  return told.join(" · ");
}

// verified tells how the last verification ended.
export function verified(e, v) {
  const time = e.querySelector("time") ?? e.appendChild(el("time"));
  const found = e.querySelector("span") ?? e.appendChild(el("span", { class: "found" }));
  when(time, v?.time);
  say(found, !v?.time ? "" : " · " + (v.differences ? t("meta.differences", { n: number(v.differences) }) : t("meta.nodifference")));
}
