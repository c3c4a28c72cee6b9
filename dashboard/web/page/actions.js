import { ask, call } from "./ask.js";

const reason = { name: "reason", label: "Why (optional, for the history)", maxlength: 300 };

// post asks for something, with the reason where there is one.
async function post(path, body, why) {
	return call("POST", path, why ? { ...body, reason: why } : body);
}

const path = (group, verb) => `/groups/${encodeURIComponent(group.name)}/${verb}`;

// groupActions are what can be done for a group as it is now.
export function groupActions(group) {
	const simple = (name, verb, body, text, done) => ({
		name, open: () => ask({
			title: `${name} ${group.name}?`, text, yes: name, fields: [reason],
			then: async (v) => { await post(path(group, verb), body, v.reason); return done; },
		}),
	});
	const all = [{
		name: "Scale", open: () => ask({
			title: `Scale ${group.name}`, yes: "Scale", text: "It keeps this number of VMs, whatever its policy wants, until it is released.",
			fields: [{ name: "desired", label: `VMs, from ${group.now?.min ?? 0} to ${group.now?.max ?? "max"}`, type: "number", min: 0, required: true, value: group.now?.desired ?? 1 }, reason],
			then: async (v) => { await post(path(group, "scale"), { desired: Number(v.desired) }, v.reason); return `${group.name} is to have ${v.desired} VMs`; },
		}),
	}];
	if (group.scaled) all.push(simple("Release", "scale", { release: true }, "Its policy decides again how many VMs it has.", `${group.name} is released to its policy`));
	all.push(group.paused
		? simple("Resume", "resume", {}, "Scaling and replacing go on.", `${group.name} is resumed`)
		: simple("Pause", "pause", {}, "No VM is made, removed or replaced until it is resumed.", `${group.name} is paused`));
	all.push(group.dry_run
		? simple("End the dry run", "dry-run", { on: false }, "What is decided is done again.", `${group.name} acts again`)
		: simple("Dry run", "dry-run", { on: true }, "Everything is decided and shown, and nothing is done.", `${group.name} is in a dry run`));
	all.push(simple("Refresh", "refresh", { action: "start" }, "VMs that were made from something else than the config says now are replaced.", `a refresh of ${group.name} has begun`));
	all.push(simple("Wake", "wake", {}, "It gets a VM if it has none, and keeps one for a while.", `${group.name} is woken`));
	return all;
}

const verbs = {
	replace: "Another takes its place, and then it goes.",
	drain: "It leaves service now, and goes after the group's drain. Another takes its place.",
	standby: "It leaves service for a while and runs on. Another takes its place.",
	"exit-standby": "It serves again.",
	unhealthy: "It is replaced as one that does not serve.",
	remove: "It goes now, and the group has one less.",
};

// vmAction asks what is to be done with a VM, and does it.
export function vmAction(group, vm) {
	const options = Object.keys(verbs).filter((v) => (v === "exit-standby") === vm.stands_by || v === "remove");
	ask({
		title: `What is to become of ${vm.name}?`, yes: "Do it", danger: true,
		text: options.map((v) => `${v}: ${verbs[v]}`).join(" "),
		fields: [{ name: "verb", label: "Action", options }, reason],
		then: async (v) => {
			const body = { group: group.name };
			if (v.verb === "standby") body.keep_size = true;
			const answer = await post(`/vms/${encodeURIComponent(vm.uuid)}/${v.verb}`, body, v.reason);
			return `${answer.vm}: ${answer.sentence}`;
		},
	});
}
