"""RQ: a producer and two workers."""

import app


def run(number):
    app.note_run(number)


def main():
    import redis
    import rq

    app.begin()
    command = lambda port: [app.BINARIES / "rq", "worker", "--url", f"redis://127.0.0.1:{port}", "--quiet"]
    workers = [app.start_worker(command(port), port) for port in app.PORTS]
    queue = rq.Queue(connection=redis.Redis(port=app.PORTS[0], socket_timeout=10))
    app.finish_queue(*app.until_over(lambda number: queue.enqueue("rq_jobs.run", number)), workers)


if __name__ == "__main__":
    main()
