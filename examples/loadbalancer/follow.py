#!/usr/bin/env python3
"""Keeps a load balancer's servers the VMs of a vmscaler group that serve.

    follow.py haproxy --group web --port 80 --socket /run/haproxy/admin.sock --backend web
    follow.py nginx   --group web --port 80 --file /etc/nginx/vmscaler-web.conf
    follow.py traefik --group web --port 80 --file /etc/traefik/dynamic/web.yaml

It asks vmscaler's /sd/GROUP once a second. A VM that drains is not in the answer any more: with "drain: 10s" in the group's
config it has no new requests long before its guest is shut down. Where there is no answer, the load balancer keeps what it has.
"""

import argparse
import ipaddress
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request

NAME = re.compile(r"[a-z][a-z0-9-]*-[0-9]+")


def discover(url):
    """What serves, as {VM's name: (address, port)}. Guests have a say in their addresses: nothing but one is let through."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        found = {}
        for target in json.load(answer):
            host, _, port = target["targets"][0].rpartition(":")
            host = str(ipaddress.ip_address(host.strip("[]")))
            name = target["labels"]["vm"]
            if NAME.fullmatch(name) and 0 < int(port) < 65536:
                found[name] = (host, int(port))
        return found


def joined(server):
    host, port = server
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class HAProxy:
    """Adds, drains and deletes servers over the runtime API of HAProxy from 2.5 on: there is no reload."""

    def __init__(self, options):
        self.socket, self.backend = options.socket, options.backend

    def ask(self, command):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(self.socket)
            s.sendall(command.encode() + b"\n")
            answer = b""
            while chunk := s.recv(65536):
                answer += chunk
        return answer.decode().strip()

    def must(self, command, *says):
        answer = self.ask(command)
        if answer and not any(s in answer for s in says):
            raise RuntimeError(f"haproxy: {command}: {answer}")

    def servers(self):
        """What it has, as {name: ((address, port), is drained, requests that it works on)}."""
        found = {}
        for line in self.ask(f"show servers state {self.backend}").splitlines():
            f = line.split()
            if len(f) > 18 and f[1] == self.backend:
                found[f[3]] = [(f[4], int(f[18])), int(f[6]) & 0x08 != 0, 0]
        header, *rows = self.ask(f"show stat {self.backend} 4 -1").lstrip("# ").splitlines()
        columns = header.split(",")
        for row in rows:
            stat = dict(zip(columns, row.split(",")))
            if stat["svname"] in found:
                found[stat["svname"]][2] = int(stat["scur"])
        return found

    def apply(self, wanted):
        for name, (server, drained, working) in self.servers().items():
            at = f"{self.backend}/{name}"
            if wanted.get(name) == server:
                if drained:
                    self.must(f"set server {at} state ready")
            elif not drained:
                self.must(f"set server {at} state drain")
            elif working == 0:
                self.must(f"set server {at} state maint")
                self.must(f"del server {at}", "deleted", "has active connections", "has idle connections", "still")
        there = self.servers()
        for name, server in wanted.items():
            at = f"{self.backend}/{name}"
            if name not in there:
                self.must(f"add server {at} {joined(server)} check inter 1s", "registered")
                self.must(f"enable health {at}")
                self.must(f"enable server {at}")


class File:
    """Writes a file, and tells whoever reads it."""

    def __init__(self, options):
        self.file, self.reload = options.file, options.reload
        self.group, self.written = options.group, None

    def apply(self, wanted):
        text = self.text(wanted)
        if text == self.written:
            return
        with open(self.file + ".new", "w") as f:
            f.write(text)
        os.replace(self.file + ".new", self.file)
        if self.reload:
            subprocess.run(self.reload, shell=True, check=True, timeout=30)
        self.written = text


class Nginx(File):
    def text(self, wanted):
        lines = [f"server {joined(server)}; # {name}\n" for name, server in sorted(wanted.items())]
        return "".join(lines or ["server 127.0.0.1:1 down; # an upstream must have one\n"])


class Traefik(File):
    def text(self, wanted):  # JSON is YAML as well
        servers = [{"url": f"http://{joined(server)}"} for _, server in sorted(wanted.items())]
        return json.dumps({"http": {"services": {self.group: {"loadBalancer": {"servers": servers}}}}}, indent=2) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("of", choices=["haproxy", "nginx", "traefik"])
    parser.add_argument("--vmscaler", default="http://127.0.0.1:9464", help="where vmscaler serves HTTP (%(default)s)")
    parser.add_argument("--group", required=True)
    parser.add_argument("--port", type=int, default=80, help="of the VMs (%(default)s)")
    parser.add_argument("--every", type=float, default=1, help="seconds (%(default)s)")
    parser.add_argument("--socket", default="/run/haproxy/admin.sock", help="of HAProxy's runtime API (%(default)s)")
    parser.add_argument("--backend", help="of HAProxy (the group's name)")
    parser.add_argument("--file", help="that nginx or Traefik reads")
    parser.add_argument("--reload", help="a command after each change of the file (nginx: nginx -s reload)")
    options = parser.parse_args()
    options.backend = options.backend or options.group
    if options.of != "haproxy" and not options.file:
        parser.error("--file: found nothing, want the path of a file")
    if options.of == "nginx" and options.reload is None:
        options.reload = "nginx -s reload"
    follows = {"haproxy": HAProxy, "nginx": Nginx, "traefik": Traefik}[options.of](options)
    url, said = f"{options.vmscaler}/sd/{options.group}?port={options.port}", ""
    while True:
        try:
            follows.apply(discover(url))
            trouble = ""
        except (OSError, ValueError, KeyError, IndexError, RuntimeError, subprocess.SubprocessError) as error:
            trouble = f"nothing is changed: {error}"
        if trouble != said:
            print(trouble or "all is well", file=sys.stderr, flush=True)
            said = trouble
        time.sleep(options.every)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
