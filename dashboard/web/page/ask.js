import { byId, make, say } from "./dom.js";

// caller is who looks at the page, as the server says.
export let caller = { role: "", actions: false };

// call asks the server, and gives its answer or its reason why not.
export async function call(method, path, body) {
	const headers = {};
	if (body !== undefined) headers["Content-Type"] = "application/json";
	if (caller.csrf) headers["X-Csrf-Token"] = caller.csrf;
	const response = await fetch(`api/v1${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
	const answer = await response.json();
	if (!response.ok) throw new Error(answer.detail ?? response.statusText);
	return answer;
}

export const mayAct = () => caller.role === "operator" && caller.actions && Boolean(caller.csrf);

function show() {
	document.body.classList.toggle("readonly", !mayAct());
	let who = "read-only";
	if (caller.name) who = mayAct() ? `${caller.name}, operator` : `${caller.name}, ${caller.role}: read-only`;
	if (caller.name && caller.role === "operator" && !caller.actions) who += `: ${caller.why_not}`;
	say(byId("who"), who);
	say(byId("login"), caller.name ? "Log out" : "Log in");
	document.dispatchEvent(new Event("caller"));
}

export async function whoAmI() {
	try {
		caller = await call("GET", "/session");
	} catch {
		caller = { role: "", actions: false };
	}
	show();
}

let saidUntil;

// tell says what became of something, also to those who cannot see it.
export function tell(text) {
	say(byId("said"), text);
	clearTimeout(saidUntil);
	saidUntil = setTimeout(() => say(byId("said"), ""), 8000);
}

let submit = null;

// ask opens the dialog: nothing changes before a person has said yes there.
export function ask({ title, text = "", yes, danger = false, fields = [], then }) {
	say(byId("ask-title"), title);
	say(byId("ask-text"), text);
	say(byId("ask-error"), "");
	const button = byId("ask-yes");
	say(button, yes);
	button.classList.toggle("danger", danger);
	byId("ask-fields").replaceChildren(...fields.flatMap(({ name, label, options, ...attributes }) => {
		const id = `field-${name}`;
		const input = options
			? make("select", { id, name }, ...options.map((o) => make("option", { value: o }, o)))
			: make("input", { id, name, autocomplete: "off", ...attributes });
		return [make("label", { for: id }, label), input];
	}));
	submit = then;
	byId("ask").showModal();
}

byId("ask-no").addEventListener("click", () => byId("ask").close());
byId("ask").querySelector("form").addEventListener("submit", async (event) => {
	event.preventDefault();
	const values = Object.fromEntries(Array.from(byId("ask-fields").querySelectorAll("input, select"), (e) => [e.name, e.value]));
	byId("ask-yes").disabled = true;
	try {
		const done = await submit(values);
		byId("ask").close();
		if (done) tell(done);
	} catch (error) {
		say(byId("ask-error"), error.message);
	} finally {
		byId("ask-yes").disabled = false;
	}
});

byId("login").addEventListener("click", async () => {
	if (caller.name) {
		try {
			caller = await call("DELETE", "/session");
		} catch (error) {
			tell(error.message);
		}
		await whoAmI();
		return;
	}
	ask({
		title: "Log in", yes: "Log in",
		text: "With a token of the role operator you can change something; with one of the role watch only look. “vmscaler web token” makes one.",
		fields: [{ name: "token", label: "Token", type: "password", required: true }],
		then: async ({ token }) => {
			caller = await call("POST", "/session", { token });
			show();
			return `Logged in as ${caller.name}`;
		},
	});
});
