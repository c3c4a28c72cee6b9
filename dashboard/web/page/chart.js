import { svg, clock } from "./dom.js";

const height = 190, left = 38, top = 24, bottom = 162;

// line is a path through points, with gaps where a value is not known. A stepped one keeps each value until the next.
function line(points, x, y, stepped) {
	let d = "", before = null;
	for (const [at, value] of points) {
		if (value === null) {
			before = null;
			continue;
		}
		if (before === null) d += `M${x(at)} ${y(value)}h.01`; // which is a dot, if nothing follows
		else d += stepped ? `H${x(at)}V${y(value)}` : `L${x(at)} ${y(value)}`;
		before = value;
	}
	return d;
}

// draw draws a chart of lines over the last hour, or as much of it as is known. It is an image with words: describe is what it says.
export function draw(element, { lines, limits, most, unit, describe }) {
	const width = Math.min(900, Math.max(260, element.clientWidth || 600)), right = width - 10; // so that its letters have their size
	const times = lines[0].points.map(([at]) => at);
	const end = times[times.length - 1], begin = Math.min(times[0], end - 60000);
	const x = (at) => (left + ((at - begin) / (end - begin)) * (right - left)).toFixed(1);
	const y = (value) => (bottom - (Math.min(value, most) / most) * (bottom - top)).toFixed(1);
	const parts = [];
	for (const value of [0, Math.round(most / 2), most]) {
		parts.push(svg("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }));
		parts.push(svg("text", { x: left - 6, y: +y(value) + 4, "text-anchor": "end" }, String(value)));
	}
	parts.push(svg("text", { x: left, y: bottom + 18 }, clock(begin)), svg("text", { x: right, y: bottom + 18, "text-anchor": "end" }, clock(end)));
	for (const [name, value] of limits) {
		if (value > most) continue;
		parts.push(svg("line", { class: "limit", x1: left, x2: right, y1: y(value), y2: y(value) }));
		parts.push(svg("text", { x: right, y: +y(value) - 4, "text-anchor": "end" }, `${name} ${value}${unit}`));
	}
	let key = left;
	for (const { name, points, stepped, second } of lines) {
		const style = second ? { class: "second" } : {};
		parts.push(svg("path", { ...style, d: line(points, x, y, stepped) }));
		parts.push(svg("path", { ...style, d: `M${key} 10h22` }), svg("text", { class: "key", x: key + 27, y: 14 }, name));
		key += 45 + 7 * name.length;
	}
	element.setAttribute("viewBox", `0 0 ${width} ${height}`);
	element.setAttribute("class", "chart");
	element.setAttribute("aria-label", describe);
	element.replaceChildren(...parts);
}

// spark is a small line of a VM's CPU.
export function spark(element, values) {
	const known = values.filter((v) => v !== null);
	const x = (i) => ((i / Math.max(1, values.length - 1)) * 110 + 1).toFixed(1);
	const d = line(values.map((v, i) => [i, v]), x, (v) => (22 - Math.min(v, 100) * 0.2).toFixed(1), false);
	if (element.dataset.d === d) return;
	element.dataset.d = d;
	element.setAttribute("viewBox", "0 0 112 24");
	element.setAttribute("aria-label", known.length ? `CPU from ${Math.round(Math.min(...known))} to ${Math.round(Math.max(...known))} percent` : "CPU unknown");
	element.replaceChildren(svg("path", { d }));
}
