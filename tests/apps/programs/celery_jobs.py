"""Celery: a producer that does not try again, and two workers that acknowledge a task once it has run.

Celery's transport pops a task and then notes in Redis that it has it: a task whose answer is lost with the connection is gone, on any server.
"""

import json

import app
import celery

tasks = celery.Celery("celery_jobs", broker=f"redis://127.0.0.1:{app.PORTS[0]}/0")
tasks.conf.update(
    task_acks_late=True,
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    broker_transport_options={"visibility_timeout": 10},
)


@tasks.task(name="celery_jobs.run")
def run(number):
    app.note_run(number)


def held():
    """Tasks that a worker took and did not acknowledge: they are taken again once the visibility timeout is over."""
    import redis

    taken = redis.Redis(port=app.PORTS[0]).hvals("unacked")
    return {json.loads(json.loads(one)[0]["headers"]["argsrepr"].strip("(),")) for one in taken}


def main():
    app.begin()
    command = [app.BINARIES / "celery", "-A", "celery_jobs:tasks", "worker", "-c", "1", "-l", "WARNING"]
    workers = [app.Worker([*command, "-n", f"worker-{nth}"], port) for nth, port in enumerate(app.PORTS)]
    acknowledged, doubt = app.until_over(lambda number: run.apply_async((number,), retry=False))
    app.finish_queue(acknowledged, doubt, workers, held, popped_at_most=len(workers) * app.KILLS)


if __name__ == "__main__":
    main()
