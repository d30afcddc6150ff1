import signal

from jobline import broker, db, tasks


def main():
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    connection = broker.client()
    print("worker ready:", ", ".join(sorted(tasks.TASKS)), flush=True)
    while not stopping:
        job = broker.take(connection)
        if job:
            job_id, name, args = job
            state, result = tasks.run(name, args)
            db.finish(job_id, state, result)
            print(job_id, name, state, flush=True)


if __name__ == "__main__":
    main()
