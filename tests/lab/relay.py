"""A slow line in user space: `python relay.py PORT TO_PORT DELAY_S` passes bytes on, each later.

For kernels without netem. It runs in a host's network namespace, where what comes for TO_PORT from
outside is redirected to PORT; it connects to TO_PORT on loopback.
"""

from __future__ import annotations

import asyncio
import sys


async def pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, late_s: float
) -> None:
    """Each piece is written late_s after it was read; reading goes on meanwhile."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def read() -> None:
        more = True
        while more:
            try:
                piece = await reader.read(65536)
            except ConnectionError:
                piece = b""
            more = bool(piece)
            pieces.put_nowait((loop.time() + late_s, piece))

    reading = asyncio.create_task(read())
    try:
        while True:
            due, piece = await pieces.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not piece:
                break
            writer.write(piece)
            await writer.drain()
    except ConnectionError as error:
        print(f"cut: {error}", file=sys.stderr)
    finally:
        reading.cancel()
        writer.close()


async def serve(port: int, to_port: int, late_s: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner, out = await asyncio.open_connection("127.0.0.1", to_port)
        except ConnectionError:
            writer.close()
            return
        await asyncio.gather(pass_on(reader, out, late_s), pass_on(inner, writer, late_s))

    server = await asyncio.start_server(connected, "0.0.0.0", port)
    print("listening", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
