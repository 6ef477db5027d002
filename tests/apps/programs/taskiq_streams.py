"""taskiq: a producer and two workers on a stream with a group of consumers."""

import asyncio

import app
import taskiq_redis

broker = taskiq_redis.RedisStreamBroker(f"redis://127.0.0.1:{app.PORTS[0]}", idle_timeout=5000)


@broker.task(task_name="run")
async def run(number: int) -> None:
    app.note_run(number)


def main():
    app.begin()
    command = [app.BINARIES / "taskiq", "worker", "taskiq_streams:broker", "--workers", "1"]
    workers = [app.Worker(command, port) for port in app.PORTS]
    loop = asyncio.new_event_loop()
    loop.run_until_complete(broker.startup())
    send = lambda number: loop.run_until_complete(run.kiq(number))
    app.finish_queue(*app.until_over(send), workers)


if __name__ == "__main__":
    main()
