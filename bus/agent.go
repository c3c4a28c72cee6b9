package bus

// RoleAgent is collector and actuator of one host, with one key that speaks for this host alone. It is none of [Roles]: each
// agent has permissions of its own, see [AgentPermissions].
const RoleAgent Role = "agent"

// HostBound is a message that can name the host that it is about as the last token of its subject, so that a server can hold an
// agent to its host. What already has the host in its subject is none.
type HostBound interface {
	Outgoing
	// BindHost has the message say that it is of this host.
	BindHost(id HostID)
}

// AgentPermissions are the subjects that the agent of a host may use: what collector and actuator may, as far as it says for
// which host it is. Everything else is denied.
func AgentPermissions(id HostID) Permissions {
	host := Token(string(id))
	hears := RoleActuator.Permissions().Subscribe
	subscribe := make([]string, 0, len(hears))
	for _, subject := range hears {
		if subject != RoleActuator.InboxPrefix()+".>" { // others' actuators have theirs there
			subscribe = append(subscribe, subject)
		}
	}
	return Permissions{
		Publish: []string{
			"vmscaler.sample.*." + host,
			"vmscaler.load.*." + host,
			"vmscaler.lifecycle.*.*.*." + host,
			"vmscaler.health.collector.*." + host,
			"vmscaler.health.actuator.*." + host,
			AllVictims,
			RoleOperator.InboxPrefix() + ".>",
		},
		Subscribe: append(subscribe, AgentInbox(id)+".>"),
	}
}

// AgentInbox is below which subject the agent of a host receives replies.
func AgentInbox(id HostID) string { return RoleAgent.InboxPrefix() + "." + Token(string(id)) }
