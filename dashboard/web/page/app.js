import { age, byId, clock, fill, keep, make, mark, mebibytes, percent, row, say, svg } from "./dom.js";
import { draw, spark } from "./chart.js";
import { call, caller, mayAct, whoAmI } from "./ask.js";
import { groupActions, vmAction } from "./actions.js";

const pastLasts = 3600e3;
let view = null; // the newest
let past = { group: "", points: [] };
let templates = { at: 0, all: [] };
let replayed = { group: "" };
let explained = { decision: "", at: 0, busy: false };

// chosen is the group that the address names, or the first.
function chosen() {
	const name = decodeURIComponent(location.hash.replace(/^#/, ""));
	return view?.groups.find((g) => g.name === name) ?? view?.groups[0];
}

function showGroups(current) {
	keep(byId("groups"), view.groups, (g) => g.name, (g) => make("a", { href: `#${encodeURIComponent(g.name)}` }, make("strong"), make("span")), (a, g) => {
		say(a.children[0], g.name);
		say(a.children[1], `${g.ready} of ${g.now?.desired ?? "?"} ready, CPU ${percent(g.now?.average_percent)}`);
		if (g === current) a.setAttribute("aria-current", "page");
		else a.removeAttribute("aria-current");
	});
}

function showGroup(g) {
	byId("group").hidden = !g;
	byId("nothing").hidden = Boolean(g);
	if (!g) return;
	say(byId("name"), g.name);
	say(byId("sentence"), g.sentence || "not decided for yet");
	say(byId("notes"), [g.stale, g.dry_run ? "dry run: nothing is done" : "", g.by_hand, g.refresh && `refresh: ${g.refresh}`].filter(Boolean).join("; "));
	const n = g.now, numbers = [
		["desired", n ? n.desired : "unknown"], ["ready", g.ready], ["pending", g.pending], ...(g.warm ? [["warm", g.warm]] : []), ["other", g.other],
		["min to max", n ? `${n.min} to ${n.max}` : "unknown"], ["CPU", percent(n?.average_percent)],
	];
	keep(byId("numbers"), numbers, ([name]) => name, ([name]) => make("div", {}, make("dt", {}, name), make("dd")), (div, [, value]) => say(div.children[1], String(value)));
	showActions(g);
	const wanted = byId("filter").value.trim().toLowerCase();
	byId("filter-line").hidden = g.vms.length < 10;
	const vms = g.vms.length < 10 || !wanted ? g.vms : g.vms.filter((vm) => words(vm).some((word) => word.toLowerCase().includes(wanted)));
	say(byId("vms-title"), vms.length === g.vms.length ? `VMs: ${vms.length}` : `VMs: ${vms.length} of ${g.vms.length}`);
	keep(byId("vms"), vms, (vm) => vm.uuid, () => vmRow(), (tr, vm) => showVM(tr, g, vm));
}

const words = (vm) => [vm.name, vm.host, vm.phase, vm.state, vm.address ?? "", ...vm.marks];

function showActions(g) {
	byId("actions").hidden = !mayAct();
	if (!mayAct()) return;
	keep(byId("actions"), groupActions(g), (a) => a.name, (a) => {
		const button = make("button", { type: "button" }, a.name);
		button.addEventListener("click", () => groupActions(chosen()).find((one) => one.name === a.name)?.open());
		return button;
	}, () => {});
}

function vmRow() {
	const tr = row(9, 7);
	tr.children[3].append(svg("svg", { class: "spark", role: "img" }));
	const button = make("button", { type: "button" }, "…");
	button.addEventListener("click", () => {
		const g = chosen(), vm = g?.vms.find((one) => one.uuid === tr.dataset.key);
		if (vm) vmAction(g, vm);
	});
	tr.children[8].append(button);
	tr.children[8].className = "act";
	return tr;
}

function showVM(tr, g, vm) {
	fill(tr, [vm.name, vm.state === "running" ? vm.phase : `${vm.phase}, ${vm.state}`, percent(vm.cpu_percent), null, vm.host, vm.address ?? "unknown", age(vm.created, new Date(view.time)), vm.marks.join("; ")]);
	mark(tr.children[1], vm.phase === "ready" && vm.state === "running" ? "good" : vm.phase === "failed" ? "bad" : "warn");
	spark(tr.children[3].firstElementChild, vm.history ?? []);
	const button = tr.children[8].firstElementChild;
	if (button.getAttribute("aria-label") !== `Actions for ${vm.name}`) button.setAttribute("aria-label", `Actions for ${vm.name}`);
}

// remember adds the present of the chosen group to its past, which is asked for once.
async function remember(g) {
	if (past.group !== g.name) {
		past = { group: g.name, points: [] };
		try {
			const points = await call("GET", `/groups/${encodeURIComponent(g.name)}/past`);
			if (past.group === g.name) past.points = points;
		} catch { /* it begins now */ }
	}
	const last = past.points.at(-1);
	if (past.group === g.name && g.now && (!last || new Date(g.now.time) > new Date(last.time))) past.points.push(g.now);
	while (past.points.length > 1 && new Date(past.points.at(-1).time) - new Date(past.points[0].time) > pastLasts) past.points.shift();
	showCharts(g);
}

function showCharts(g) {
	if (past.points.length === 0) return;
	const now = past.points.at(-1), over = (value) => past.points.map((p) => [+new Date(p.time), value(p)]);
	const names = now.thresholds.length > 1 ? ["lower", "upper"] : ["target"];
	draw(byId("cpu"), {
		lines: [{ name: "CPU", points: over((p) => p.average_percent) }], limits: now.thresholds.map((value, i) => [names[i], value]), most: 100, unit: " %",
		describe: `CPU of ${g.name}: now ${percent(now.average_percent)}${now.thresholds.map((value, i) => `, ${names[i]} ${value} %`).join("")}`,
	});
	draw(byId("size"), {
		lines: [{ name: "desired", points: over((p) => p.desired), stepped: true }, { name: "ready", points: over((p) => p.ready), stepped: true, second: true }],
		limits: [["max", now.max], ["min", now.min]], most: Math.max(2, now.max, ...past.points.map((p) => p.owned)), unit: "",
		describe: `Size of ${g.name}: ${now.desired} desired, ${now.ready} ready, min ${now.min}, max ${now.max}`,
	});
}

// explain asks why the group has its size, when there is a new decision and the answer to the last question is there.
async function explain(g) {
	const now = Date.now();
	if (explained.busy || explained.decision === g.decision || (explained.group === g.name && now - explained.at < 3000)) return;
	explained = { group: g.name, decision: g.decision, at: now, busy: true };
	try {
		const e = await call("GET", `/groups/${encodeURIComponent(g.name)}/explain`);
		say(byId("result"), e.result);
		keep(byId("steps"), e.steps.map((s, i) => ({ ...s, i })), (s) => s.i, () => row(3, 1), (tr, s) => fill(tr, [s.what, s.found, s.effect]));
		keep(byId("why-not"), (e.why_not ?? []).map((text, i) => ({ text, i })), (w) => w.i, () => make("li"), (li, w) => say(li, w.text));
	} catch (error) {
		say(byId("result"), error.message);
	} finally {
		explained.busy = false;
	}
}

// replay asks what policies would have made of the last day of the chosen group: when somebody wants to know, as it takes seconds.
async function replay() {
	const g = chosen();
	if (!g || byId("replay").disabled) return;
	byId("replay").disabled = true;
	showReplay({ group: g.name, text: "replaying" });
	try {
		const r = await call("GET", `/groups/${encodeURIComponent(g.name)}/replay`);
		const unsure = [[r.unknown_percent, "unknown"], [r.saturated_percent, "with full VMs"]].filter(([share]) => share > 1).map(([share, what]) => `, ${percent(share)} of it ${what}`);
		showReplay({ group: g.name, text: `${r.minutes} minutes from ${new Date(r.from).toLocaleString()}${unsure.join("")}; lower is better`, policies: r.policies });
	} catch (error) {
		showReplay({ group: g.name, text: error.message });
	} finally {
		byId("replay").disabled = false;
	}
}

function showReplay(r) {
	replayed = r;
	say(byId("replayed"), r.text ?? "");
	byId("replay-table").hidden = !r.policies;
	keep(byId("replays"), r.policies ?? [], (p) => p.policy, () => row(6), (tr, p) => fill(tr, [p.policy, p.vm_hours.toFixed(1), p.actions_per_hour.toFixed(1), percent(p.lost_percent), percent(p.high_percent), p.cost.toFixed(2)]));
}

function showRest() {
	keep(byId("events"), view.entries, (e) => `${e.time} ${e.group} ${e.vm} ${e.what}`, () => row(5, 4), (tr, e) => {
		fill(tr, [clock(e.time), e.group, e.vm ?? "", e.what, e.sentence]);
		mark(tr.children[3], e.bad ? "bad" : "");
	});
	keep(byId("hosts"), view.hosts, (h) => h.host_id, () => row(7), (tr, h) => fill(tr, [
		h.silent ? `${h.host} (silent)` : h.host, percent(h.silent ? null : h.load.cpu_percent), String(h.load.cores || "unknown"),
		`${mebibytes(h.silent ? null : h.load.memory_free_mib)} of ${mebibytes(h.load.memory_mib || null)}`, mebibytes(h.silent ? null : h.load.pool_free_mib), String(h.vms), h.groups.join(", "),
	]));
	showTemplates();
	keep(byId("stages"), view.stages, (s) => `${s.stage} ${s.instance}`, () => row(4, 3), (tr, s) => {
		fill(tr, [s.stage, s.instance, s.state, s.message]);
		mark(tr.children[2], s.state === "ok" ? "good" : "bad");
	});
}

// listTemplates asks for the templates, now and then. Only a server beside libvirt knows more than which ones are in use.
async function listTemplates() {
	if (Date.now() - templates.at < 60e3) return;
	templates.at = Date.now();
	try {
		templates.all = await call("GET", "/templates");
	} catch {
		templates.all = [];
	}
	showTemplates();
}

function showTemplates() {
	const inUse = new Map();
	for (const g of view.groups) for (const t of g.templates) inUse.set(t.name, [...(inUse.get(t.name) ?? []), `${g.name}: ${t.vms}`]);
	const known = new Set(templates.all.map((t) => t.name));
	const all = [...templates.all, ...[...inUse.keys()].filter((name) => !known.has(name)).map((name) => ({ name }))];
	const size = (bytes) => mebibytes(bytes === undefined ? null : Math.ceil(bytes / 2 ** 20));
	keep(byId("templates"), all, (t) => t.name, () => row(7, 6), (tr, t) => {
		const state = t.state === undefined || t.state === "ready" ? t.format ?? "unknown" : t.problem ? `${t.state}: ${t.problem}` : t.state;
		fill(tr, [t.name, size(t.capacity_bytes), size(t.used_bytes), state, String(t.clones ?? "unknown"), t.changed ? age(t.changed, new Date(view.time)) : "unknown", (inUse.get(t.name) ?? []).join(", ")]);
		mark(tr.children[3], t.state === "broken" ? "bad" : "");
	});
}

function show() {
	if (!view) return;
	const g = chosen();
	showGroups(g);
	showGroup(g);
	showRest();
	listTemplates();
	document.title = g ? `${g.name}: ${g.ready} of ${g.now?.desired ?? "?"} ready – vmscaler` : "vmscaler";
	if (g && replayed.group !== g.name && !byId("replay").disabled) showReplay({ group: g.name });
	if (g) {
		remember(g);
		explain(g);
	}
}

function link(text, good) {
	say(byId("link"), text);
	mark(byId("link"), good ? "good" : "bad");
}

let events = null; // the stream that is open; null: there is none

// listen opens the stream, unless it is open or this caller may not look.
function listen() {
	if (events || !caller.role) {
		if (!events) link("log in to look", false);
		return;
	}
	events = new EventSource("api/v1/stream");
	events.onmessage = (event) => {
		const next = JSON.parse(event.data);
		if (next.trouble) {
			link(next.trouble, false); // what is on the page stays, as it was
			return;
		}
		view = next;
		link("live", true);
		show();
	};
	events.onerror = () => {
		link("no connection to the server", false);
		if (events.readyState !== EventSource.CLOSED) return; // it tries again by itself
		events = null;
		setTimeout(whoAmI, 5000); // it was refused: perhaps the session is over
	};
}

byId("replay").addEventListener("click", replay);
addEventListener("hashchange", show);
addEventListener("resize", show);
byId("filter").addEventListener("input", show);
document.addEventListener("caller", () => {
	listen();
	show();
});
whoAmI();
