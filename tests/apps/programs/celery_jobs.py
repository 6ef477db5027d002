"""Celery: a producer that does not try again, and two workers that acknowledge a task once it has run."""

import app
import celery

tasks = celery.Celery("celery_jobs", broker=f"redis://127.0.0.1:{app.PORTS[0]}/0")
tasks.conf.update(
    task_acks_late=True,
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    broker_transport_options={"visibility_timeout": 10},
    worker_prefetch_multiplier=1,
)


@tasks.task(name="celery_jobs.run")
def run(number):
    app.note_run(number)


def main():
    app.begin()
    command = [app.BINARIES / "celery", "-A", "celery_jobs:tasks", "worker", "-c", "1", "-l", "WARNING"]
    workers = [app.start_worker([*command, "-n", f"worker-{nth}"], port) for nth, port in enumerate(app.PORTS)]
    app.finish_queue(*app.until_over(lambda number: run.apply_async((number,), retry=False)), workers)


if __name__ == "__main__":
    main()
