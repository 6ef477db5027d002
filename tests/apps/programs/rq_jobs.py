"""RQ: a producer and two workers.

The workers are RQ's, over a client of redis-py as its constructor makes it, which tries again three times. `rq worker --url` makes one that does
not: it ends when its connection does in the middle of a job, at a restart of redis-server (`run --redis`) as at a kill here.
"""

import sys

import app


def run(number):
    app.note_run(number)


def connect():
    import redis

    return redis.Redis(port=app.PORTS[0], socket_timeout=10)


def work():
    import rq

    rq.Worker(["default"], connection=connect()).work(logging_level="WARNING")


def held(queue):
    """Jobs that a worker took and did not end: RQ's maintenance moves them to the failed ones, some minutes later."""
    taken = queue.intermediate_queue.get_job_ids()
    registries = (queue.started_job_registry, queue.failed_job_registry)
    return {int(number) for number in taken + [number for one in registries for number in one.get_job_ids(cleanup=False)]}


def main():
    import rq

    app.begin()
    command = [sys.executable, "-c", "import rq_jobs; rq_jobs.work()"]
    workers = [app.Worker(command, port) for port in app.PORTS]
    queue = rq.Queue(connection=connect())
    enqueue = lambda number: queue.enqueue("rq_jobs.run", number, job_id=str(number))
    acknowledged, doubt = app.until_over(enqueue)
    app.finish_queue(acknowledged, doubt, workers, lambda: held(queue))


if __name__ == "__main__":
    main()
