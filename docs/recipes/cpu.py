"""Prints the CPU of each VM, at each sample. Needs nats-py."""

import asyncio
import contextlib
import json
import sys

import nats


async def main(url):
    # -1: come back after each restart of the server, however long it takes.
    nc = await nats.connect(url, max_reconnect_attempts=-1)
    sub = await nc.subscribe("vmscaler.sample.>")
    async for msg in sub.messages:
        sample = json.loads(msg.data)
        if sample.get("v") != 1:
            continue  # a version that this program does not know
        for vm in sample["vms"]:
            cpu = vm["cpu_percent"]
            text = "unknown" if cpu is None else f"{cpu:.1f} %"
            print(sample["host"], vm["name"], vm["phase"], text, flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "nats://127.0.0.1:4222"))
