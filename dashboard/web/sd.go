package web

import (
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

// target is an element of Prometheus's HTTP service discovery.
type target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// discover answers which VMs of a group serve, in the form of Prometheus's HTTP service discovery. Where that is not known it
// fails, and whoever asks keeps what he knew.
func (s *Server) discover(w http.ResponseWriter, r *http.Request) {
	port, err := portOf(r.URL.Query().Get("port"))
	all := []target{}
	if err == nil {
		err = s.lookAt(r, func(g *model.Group, now time.Time) error {
			if !slices.ContainsFunc(g.Hosts(), func(h *model.Host) bool { return !h.Stale(now) }) {
				return problem(ReasonNobody, "group %s has no fresh sample", g.Name())
			}
			all = targets(g, port)
			return unreached(g, port, all)
		})
	}
	if err != nil {
		problemOf(err).write(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(all)
}

// portOf is a port of the VMs; 0 is none.
func portOf(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	port, err := strconv.Atoi(text)
	if err != nil || port < 1 || port > 65535 {
		return 0, problem(ReasonMalformed, "port: found %q, want 1 to 65535", bus.Clip(text, 40))
	}
	return port, nil
}

// unreached says which port is missing where VMs serve that are reached by ports of their hosts alone, and none by this one.
func unreached(g *model.Group, port int, found []target) error {
	if len(found) > 0 {
		return nil
	}
	var ports []string
	for _, vm := range vmsOf(g) {
		for guest := range vm.Forwards {
			if text := strconv.Itoa(guest); inService(vm.VM) && !slices.Contains(ports, text) {
				ports = append(ports, text)
			}
		}
	}
	if len(ports) == 0 {
		return nil
	}
	slices.Sort(ports)
	asked := "nothing"
	if port != 0 {
		asked = strconv.Itoa(port)
	}
	return problem(ReasonMalformed, "port: found %s, want one that is forwarded to the VMs of group %s: %s", asked, g.Name(),
		strings.Join(ports, ", "))
}

// targets are the VMs of a group that serve and whose address is known, by name. Those of a host that is silent are among them,
// as they may well run.
func targets(g *model.Group, port int) []target {
	all := []target{}
	for _, vm := range vmsOf(g) {
		at := addressOf(vm.VM, port)
		if at == "" || !inService(vm.VM) {
			continue
		}
		labels := map[string]string{"group": vm.Group, "vm": vm.Name, "host": vm.Host}
		if vm.Template != "" {
			labels["template"] = vm.Template
		}
		all = append(all, target{[]string{at}, labels})
	}
	slices.SortFunc(all, func(a, b target) int {
		if c := model.CompareNames(a.Labels["vm"], b.Labels["vm"]); c != 0 {
			return c
		}
		return strings.Compare(a.Targets[0], b.Targets[0])
	})
	return all
}

// inService reports whether a VM is to have requests: it serves, and nobody has asked for it to leave.
func inService(vm bus.VM) bool {
	return vm.Phase.Serves() && vm.State == bus.StateRunning && !vm.Order.Leaves() && !vm.Order.Is(bus.VMStandby)
}

// addressOf is where a port of a VM is reached: at its own address, or at a port of its host that leads there; "" is not known.
func addressOf(vm bus.VM, port int) string {
	switch forward := vm.Forwards[port]; {
	case vm.Address != "" && port == 0 && strings.Contains(vm.Address, ":"):
		return "[" + vm.Address + "]"
	case vm.Address != "" && port == 0:
		return vm.Address
	case vm.Address != "":
		return net.JoinHostPort(vm.Address, strconv.Itoa(port))
	case forward != 0:
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(forward))
	}
	return ""
}
