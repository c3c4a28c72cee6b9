// Texts from the bus are hostile: they get into the page as text alone, never as HTML.

export const byId = (id) => document.getElementById(id);

// make is an element with attributes and children, which are elements or texts.
export function make(tag, attributes = {}, ...children) {
	const e = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) {
		if (value === true) e.setAttribute(name, "");
		else if (value !== false && value !== undefined) e.setAttribute(name, value);
	}
	e.append(...children);
	return e;
}

export function svg(tag, attributes = {}, ...children) {
	const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
	for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
	e.append(...children);
	return e;
}

// say sets a text, and touches nothing where it is the same: who selects or reads it is not disturbed.
export function say(e, text) {
	if (e.textContent !== text) e.textContent = text;
}

// mark sets the class of an element.
export function mark(e, name) {
	if (e.className !== name) e.className = name;
}

// keep makes the children of an element those of a list, each found again by its key, so that focus stays where it is.
export function keep(parent, list, key, create, update) {
	const old = new Map(Array.from(parent.children, (child) => [child.dataset.key, child]));
	let at = parent.firstElementChild;
	for (const item of list) {
		const name = String(key(item));
		let child = old.get(name);
		if (child) {
			old.delete(name);
		} else {
			child = create(item);
			child.dataset.key = name;
		}
		if (child === at) at = at.nextElementSibling;
		else parent.insertBefore(child, at);
		update(child, item);
	}
	for (const child of old.values()) child.remove();
}

// row makes a table's row of so many cells, the first of which is its heading. The one with a sentence may be long.
export function row(cells, sentence) {
	const tr = make("tr", {}, make("th", { scope: "row" }));
	for (let i = 1; i < cells; i++) tr.append(make("td", { class: i === sentence ? "long" : undefined }));
	return tr;
}

// fill sets the texts of a row's cells.
export function fill(tr, texts) {
	texts.forEach((text, i) => {
		if (text !== null) say(tr.children[i], text);
	});
}

export const percent = (value) => (value === null || value === undefined ? "unknown" : `${value.toFixed(value < 10 ? 1 : 0)} %`);

export function mebibytes(value) {
	if (value === null || value === undefined) return "unknown";
	return value < 10240 ? `${value} MiB` : `${(value / 1024).toFixed(0)} GiB`;
}

// age is how long ago a time was.
export function age(from, now) {
	const s = Math.max(0, Math.round((now - new Date(from)) / 1000));
	if (s < 120) return `${s} s`;
	if (s < 7200) return `${Math.round(s / 60)} min`;
	if (s < 172800) return `${Math.round(s / 3600)} h`;
	return `${Math.round(s / 86400)} d`;
}

export const clock = (time) => new Date(time).toLocaleTimeString();
