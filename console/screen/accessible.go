package screen

// Accessible checks what is on the screen: names of all controls, pictures and
// dialogs, one main landmark, headings in order, unique ids, contrast of all
// text as it is drawn, and size of what is pressed (WCAG 2.2 AA: 1.1.1, 1.3.1,
// 1.4.3, 2.5.8, 4.1.2).
func (s *Screen) Accessible(where string) {
	s.t.Helper()
	for _, f := range Eval[[]string](s, checkAccessibility) {
		s.t.Errorf("%s: %s", where, f)
	}
}

const checkAccessibility = `(() => {
	const faults = [];
	const open = document.querySelector("dialog[open]");
	const shown = (e) => e.checkVisibility({ visibilityProperty: true }) && !(open && !open.contains(e));
	const all = (selector) => [...document.querySelectorAll(selector)].filter(shown);
	const tell = (e) => e.outerHTML.slice(0, 120);

	const name = (e) => (e.getAttribute("aria-label") ||
		(e.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ") ||
		[...(e.labels ?? [])].map((l) => l.textContent).join(" ") || (e.matches("button, a, summary") ? e.textContent : "")).trim();
	for (const e of all("button, a, summary, input:not([type=hidden]), select, textarea, progress, dialog, section, [role=img], [role=group]")) {
		if (!name(e)) faults.push("has no name: " + tell(e));
	}
	for (const e of all("img")) if (!e.hasAttribute("alt")) faults.push("has no alt: " + tell(e));
	if (!document.documentElement.lang) faults.push("the page has no language");
	if (!document.title) faults.push("the page has no title");
	if (document.querySelectorAll("main").length !== 1) faults.push("there is not one main landmark");
	for (const e of document.querySelectorAll("[aria-labelledby], [aria-describedby], label[for]")) {
		for (const id of (e.getAttribute("aria-labelledby") ?? e.getAttribute("aria-describedby") ?? e.htmlFor).split(" ")) {
			if (!document.getElementById(id)) faults.push("names an id that is not there: " + tell(e));
		}
	}
	const ids = new Set();
	for (const e of document.querySelectorAll("[id]")) {
		if (ids.has(e.id)) faults.push("an id is there twice: " + e.id);
		ids.add(e.id);
	}
	if (!open) {
		let last = 0;
		for (const e of all("h1, h2, h3, h4, h5, h6")) {
			const level = Number(e.tagName[1]);
			if (level > last + 1) faults.push("a heading's level is left out before " + tell(e));
			last = level;
		}
		if (document.querySelectorAll("h1").length !== 1) faults.push("there is not one h1");
	}
	for (const e of all("button, select, summary, input:not([type=hidden])")) {
		const box = (e.closest("label") ?? e).getBoundingClientRect();
		if (box.width < 24 || box.height < 20) faults.push("is too small to press: " + Math.round(box.width) + "×" + Math.round(box.height) + " " + tell(e));
	}

	const parse = (text) => { const m = text.match(/[\d.]+/g).map(Number); return { r: m[0], g: m[1], b: m[2], a: m[3] ?? 1 }; };
	const over = (top, under) => Object.fromEntries(["r", "g", "b"].map((c) => [c, top[c] * top.a + under[c] * (1 - top.a)]).concat([["a", 1]]));
	const ground = (e) => {
		const layers = [];
		for (; e; e = e.parentElement) {
			const c = parse(getComputedStyle(e).backgroundColor);
			layers.push(c);
			if (c.a === 1) break;
		}
		return layers.reverse().reduce((under, top) => over(top, under), { r: 255, g: 255, b: 255, a: 1 });
	};
	const light = (c) => {
		const [r, g, b] = [c.r, c.g, c.b].map((v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
		return .2126 * r + .7152 * g + .0722 * b;
	};
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	const seen = new Set();
	while (walker.nextNode()) {
		const e = walker.currentNode.parentElement;
		if (!walker.currentNode.data.trim() || seen.has(e) || !shown(e) || e.closest("script, noscript, .unseen, .skip")) continue;
		seen.add(e);
		const style = getComputedStyle(e), back = ground(e);
		const [a, b] = [light(over(parse(style.color), back)), light(back)];
		const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
		const size = parseFloat(style.fontSize);
		const least = size >= 24 || size >= 18.66 && style.fontWeight >= 700 ? 3 : 4.5;
		if (ratio < least) faults.push("has a contrast of " + ratio.toFixed(2) + ": " + tell(e));
	}
	return faults;
})()`
