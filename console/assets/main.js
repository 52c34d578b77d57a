// The page of a main.
import { $, announce, bytes, el, follow, keyed, moment, number, of, pill, post, rate, say, span, t, toast, when } from "./ui.js";
import { allowed, chart, copy, problems, spark, values, verified } from "./parts.js";

let parts = new Map();
let history = {};
const drawChart = chart($("chart"));

// overall is the one word for a remote.
function overall(r) {
  const shares = Object.values(r.shares);
  if (r.paused) return "paused";
  if (!r.connected) return "offline";
  for (const state of ["held", "unknown"]) if (shares.some((s) => s.state === state)) return state;
  if (shares.some((s) => s.errors > 0)) return "problems";
  if (shares.some((s) => s.state === "reconciling")) return "reconciling";
  if (shares.some((s) => s.state === "waiting") && shares.every((s) => s.state === "waiting" || s.state === "live")) return "waiting";
  return shares.some((s) => s.state !== "live" || s.lagEvents > 0 || s.lagBytes > 0) ? "catching up" : "live";
}

// Dialogs. Each has a form with a place for what went wrong.
for (const close of document.querySelectorAll("[data-close]")) {
  close.addEventListener("click", () => close.closest("dialog").close());
}

function onSubmit(form, act) {
  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    const wrong = form.querySelector(".notice"), button = form.querySelector("button:not([type=button])");
    wrong.hidden = true;
    button.disabled = true;
    try {
      await act(form);
    } catch (err) {
      wrong.hidden = false;
      say(wrong, err.message);
    } finally {
      button.disabled = false;
    }
  });
}

// ask shows a question; do is called on yes, and may fail.
let asked;
function ask(key, values, act, done) {
  say($("ask-title"), t(key + ".title", values));
  say($("ask-text"), t(key + ".text", values));
  say($("ask-yes"), t(key + ".yes"));
  $("ask-form").querySelector(".notice").hidden = true;
  asked = async () => {
    await act();
    $("ask").close();
    toast(t(done, values));
  };
  $("ask").showModal();
}
onSubmit($("ask-form"), () => asked());

function ticks(parent, chosen) {
  parent.replaceChildren(...(parts.get("names") ?? []).map((name) =>
    el("label", {}, el("input", { type: "checkbox", name: "share", value: name, checked: chosen(name) }), name)));
}
const ticked = (parent) => [...parent.querySelectorAll("input:checked")].map((i) => i.value);

$("invite-open").addEventListener("click", () => {
  $("invite-form").reset();
  $("invite-form").hidden = false;
  $("invite-form").querySelector(".notice").hidden = true;
  $("invite-done").hidden = true;
  ticks($("invite-shares"), () => true);
  $("invite").showModal();
});
onSubmit($("invite-form"), async (form) => {
  const name = form.elements.name.value, seconds = Number(form.elements.expires.value);
  const { line } = await post("invite", { name, shares: ticked($("invite-shares")), expires: seconds });
  form.hidden = true;
  $("invite-done").hidden = false;
  say($("invite-done-title"), t("invite.line", { name }));
  say($("invite-hint"), t("invite.copyhint", { name, time: moment(Date.now() + seconds * 1000) }));
  $("invite-line").value = "waptsync join " + line;
  say($("invite-copy"), t("act.copy"));
  $("invite-copy").focus();
});
$("invite-copy").addEventListener("click", async () => {
  $("invite-line").select();
  try {
    await navigator.clipboard.writeText($("invite-line").value);
  } catch {
    document.execCommand("copy"); // without the right to the clipboard: the selection
  }
  say($("invite-copy"), t("act.copied"));
  announce(t("act.copied"));
});
// The line is a secret: it does not stay in the page.
$("invite").addEventListener("close", () => { $("invite-line").value = ""; });

let tickedRemote;
function tickShares(name, r) {
  tickedRemote = name;
  say($("tick-title"), t("tick.title", { name }));
  $("tick-form").querySelector(".notice").hidden = true;
  ticks($("tick-shares"), (share) => share in r.shares);
  $("tick").showModal();
}
onSubmit($("tick-form"), async () => {
  await post(`remotes/${encodeURIComponent(tickedRemote)}/shares`, { shares: ticked($("tick-shares")) });
  $("tick").close();
  toast(t("done.shares", { name: tickedRemote }));
});

let ruled;
function ruleBandwidth(name, r) {
  ruled = name;
  say($("bandwidth-title"), t("bandwidth.title", { name }));
  say($("bandwidth-now"), allowed(r.bandwidth));
  $("bandwidth-form").querySelector(".notice").hidden = true;
  $("bandwidth-rule").value = r.bandwidth?.main ?? "";
  $("bandwidth").showModal();
}
onSubmit($("bandwidth-form"), async (form) => {
  await post(`remotes/${encodeURIComponent(ruled)}/bandwidth`, { rule: form.elements.rule.value.trim() });
  $("bandwidth").close();
  toast(t("done.bandwidth", { name: ruled }));
});

// press is a button that does something at once.
function press(label, act, attributes = {}) {
  const b = el("button", { type: "button", ...attributes }, label);
  b.addEventListener("click", async () => {
    b.disabled = true;
    try {
      await act();
    } catch (err) {
      toast(err.message);
    } finally {
      b.disabled = false;
    }
  });
  return b;
}

function shareCard({ name }) {
  const path = `shares/${encodeURIComponent(name)}/`;
  let now;
  const state = el("span"), dir = el("p", { class: "quiet mono" });
  const figures = values({ files: t("share.files"), size: t("share.size"), newest: t("share.newest"), index: t("share.index") });
  const newest = el("time");
  figures.cell("newest").replaceChildren(newest);
  const reason = el("p"), scanned = el("p", { class: "quiet", hidden: true });
  const approve = el("button", {
    type: "button", "aria-label": t("act.approve") + " " + name,
    click: () => ask("approve", { name, reason: now.held }, () => post(path + "approve"), "done.approved"),
  }, t("act.approve"));
  const held = el("div", { class: "notice", hidden: true }, el("strong", {}, t("share.held")), reason, el("div", { class: "buttons" }, approve));
  const wrong = problems();
  const rescan = press(t("act.rescan"), async () => {
    await post(path + "rescan");
    toast(t("done.rescan", { name }));
  }, { "aria-label": t("act.rescan") + " " + name });
  return {
    element: el("article", { class: "card", "data-share": name },
      el("div", { class: "head" }, el("h3", {}, name), state), dir, held, figures.element, scanned, wrong.element, el("div", { class: "acts" }, rescan)),
    update(s) {
      now = s;
      pill(state, s.state === "live" ? "published" : s.state);
      say(dir, s.dir);
      held.hidden = !s.held;
      say(reason, s.held ?? "");
      figures.put("files", number(s.files));
      figures.put("size", bytes(s.bytes));
      when(newest, s.newest);
      figures.put("index", t("index." + (s.index || "none")), s.index === "incomplete");
      scanned.hidden = s.state !== "scanning";
      say(scanned, t("share.scanned", { n: number(s.scanned) }));
      wrong.update(s.problems, s.errors);
    },
  };
}

function remoteCard({ name }) {
  const path = `remotes/${encodeURIComponent(name)}/`;
  let now, before;
  const state = el("span"), line = spark(), speed = el("span", { class: "rate" });
  const meta = {};
  const metaList = el("dl", { class: "meta" });
  for (const key of ["address", "host", "version", "rtt", "since", "reported", "verified", "bandwidth"]) {
    meta[key] = el("dd");
    metaList.append(el("div", {}, el("dt", {}, t("meta." + key)), meta[key]));
  }
  const since = meta.since.appendChild(el("time")), reported = meta.reported.appendChild(el("time"));
  const list = el("ul", { class: "shares" });
  const managed = el("p", { class: "quiet managed", hidden: true }, t("remotes.managed"));
  const act = (key, done) => press(t("act." + key), async () => {
    await post(path + key);
    toast(t(done, { name }));
  });
  const sync = act("sync", "done.sync"), verify = act("verify", "done.verify");
  const pause = act("pause", "done.paused"), resume = act("resume", "done.resumed");
  const tick = el("button", { type: "button", click: () => tickShares(name, now) }, t("act.shares"));
  const bandwidth = el("button", { type: "button", click: () => ruleBandwidth(name, now) }, t("act.bandwidth"));
  const revoke = el("button", {
    type: "button", class: "warns",
    click: () => ask("revoke", { name }, () => post(path + "revoke"), "done.revoked"),
  }, t("act.revoke"));
  const showMeta = (key, text) => {
    meta[key].parentElement.hidden = !text;
    say(meta[key], text ?? "");
  };
  return {
    element: el("article", { class: "card", "data-remote": name, "aria-label": name },
      el("div", { class: "head" }, el("h3", {}, name), state, el("div", { class: "end" }, line.element, speed)),
      metaList, list, managed,
      el("div", { class: "acts", role: "group", "aria-label": t("remote.acts", { name }) }, sync, verify, pause, resume, bandwidth, tick, revoke)),
    update(r) {
      now = r;
      const word = overall(r);
      pill(state, word);
      if (before && before !== word) announce(t("remote.said", { name, state: t("state." + word) }));
      before = word;
      line.element.toggleAttribute("hidden", !r.connected);
      line.update(history[name]);
      speed.hidden = !r.connected;
      say(speed, rate(r.rate ?? 0));
      showMeta("address", r.address);
      showMeta("host", r.host);
      showMeta("version", r.version);
      showMeta("rtt", r.rtt ? span0(r.rtt) : "");
      meta.since.parentElement.hidden = !r.since;
      if (r.since) when(since, r.since);
      meta.reported.parentElement.hidden = !r.reported;
      if (r.reported) when(reported, r.reported);
      verified(meta.verified, r.verified);
      showMeta("bandwidth", allowed(r.bandwidth));
      const can = parts.get("head")?.abilities ?? {};
      sync.hidden = !can.forceSync || !r.connected;
      verify.hidden = !can.verify || !r.connected;
      pause.hidden = r.paused;
      resume.hidden = !r.paused;
      tick.hidden = revoke.hidden = r.managed;
      managed.hidden = !r.managed;
      keyed(list, of(new Map(Object.entries(r.shares)), ""), (s) => s.name, () => copy("li", "h4"));
    },
  };
}

// filter hides remotes whose name, host, address and state do not have the words.
const fewRemotes = 8;
function filter() {
  const words = $("filter").hidden ? [] : $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const [name, card] of $("remotes").kept ?? []) {
    const r = parts.get("remote/" + name);
    if (!r) continue;
    const told = [name, r.host, r.address, t("state." + overall(r))].join(" ").toLowerCase();
    card.element.hidden = !words.every((w) => told.includes(w));
  }
}
$("filter").addEventListener("input", filter);

const span0 = (seconds) => number(Math.max(1, Math.round(seconds * 1000))) + "\u00a0ms";

function invitationLine({ name }) {
  const expires = el("time"), shares = el("span", { class: "quiet" });
  return {
    element: el("li", {}, el("strong", {}, name), shares, el("span", { class: "quiet" }, t("invite.expiring", { time: "" }), expires),
      el("button", {
        type: "button", class: "plain warns", "aria-label": t("act.withdraw") + " " + name,
        click: () => ask("withdraw", { name }, () => post(`remotes/${encodeURIComponent(name)}/revoke`), "done.revoked"),
      }, t("act.withdraw"))),
    update(i) {
      when(expires, i.expires);
      say(shares, i.shares.join(", "));
    },
  };
}

follow((next) => {
  parts = next;
  const head = parts.get("head");
  const trouble = parts.get("trouble") || head?.trouble;
  $("trouble").hidden = !trouble;
  say($("trouble"), t(parts.get("trouble") ? "trouble.ask" : "trouble.service", { error: trouble ?? "" }));
  if (!head) return;
  const shares = of(parts, "share/"), remotes = of(parts, "remote/"), invitations = parts.get("invitations") ?? [];

  say($("host"), head.host);
  say($("under"), t("main.title"));
  document.title = head.host + " – waptsync";
  say($("foot"), t("foot.version", { version: head.version }) + " · " + t("foot.bus", { address: head.listen }));
  const count = (n) => t("figure.of", { n: number(n), all: number(remotes.length) });
  say($("connected"), count(remotes.filter((r) => r.connected).length));
  say($("insync"), count(remotes.filter((r) => overall(r) === "live").length));
  let behind = 0, speed = 0;
  for (const r of remotes) {
    speed += r.rate ?? 0;
    for (const s of Object.values(r.shares)) behind += s.lagBytes;
  }
  say($("behind"), bytes(behind));
  say($("rate"), rate(speed));

  $("no-shares").hidden = shares.length > 0;
  keyed($("shares"), shares, (s) => s.name, shareCard);
  $("no-remotes").hidden = remotes.length > 0;
  keyed($("remotes"), remotes, (r) => r.name, remoteCard);
  $("filter").hidden = remotes.length <= fewRemotes;
  filter();
  $("invitations-box").hidden = invitations.length === 0;
  keyed($("invitations"), invitations, (i) => i.name + i.expires, invitationLine);
}, (next) => {
  history = next;
  drawChart(history[""]);
  for (const [name, card] of $("remotes").kept ?? []) {
    const r = parts.get("remote/" + name);
    if (r) card.update({ name, ...r });
  }
});
