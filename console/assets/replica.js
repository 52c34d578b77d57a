// The read-only page of a remote.
import { $, announce, bytes, follow, keyed, number, of, rate, say, t } from "./ui.js";
import { allowed, chart, copy, verified } from "./parts.js";

const drawChart = chart($("chart"));
let before;

follow((parts) => {
  const head = parts.get("head");
  const failed = parts.get("trouble");
  const trouble = failed || head?.unwell || head?.trouble;
  $("trouble").hidden = !trouble;
  say($("trouble"), failed ? t("trouble.ask", { error: failed }) : head?.unwell ? t("trouble.service", { error: head.unwell }) : trouble ?? "");
  if (!head) return;
  const shares = of(parts, "share/");
  say($("host"), head.name);
  document.title = head.name + " – waptsync";
  const told = t(head.connected ? "replica.connected" : "replica.offline", { address: head.main });
  say($("under"), told);
  if (before && before !== told) announce(told);
  before = told;
  say($("foot"), t("foot.version", { version: head.version }));
  const level = shares.filter((s) => s.state === "live" && !s.lagEvents && !s.lagBytes && !s.errors).length;
  say($("insync"), t("figure.of", { n: number(level), all: number(shares.length) }));
  say($("behind"), bytes(shares.reduce((sum, s) => sum + s.lagBytes, 0)));
  say($("rate"), rate(head.rate ?? 0));
  if (!$("verified").firstElementChild) $("verified").replaceChildren();
  verified($("verified"), head.verified);
  const line = allowed(head.bandwidth);
  $("bandwidth").hidden = !line;
  say($("bandwidth"), t("meta.bandwidth") + ": " + line);
  $("no-shares").hidden = shares.length > 0;
  keyed($("shares"), shares, (s) => s.name, () => copy("article", "h3"));
}, (history) => drawChart(history[""]));
