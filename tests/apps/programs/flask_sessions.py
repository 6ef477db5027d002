"""Flask-Session: visitors whose sessions in Redis count their visits."""

import app
import flask
import flask_session
import redis

server = flask.Flask(__name__)
server.config.update(SESSION_TYPE="redis", SESSION_REDIS=redis.Redis(port=app.PORTS[0], socket_timeout=10))
flask_session.Session(server)


@server.get("/")
def visit():
    flask.session["visits"] = flask.session.get("visits", 0) + 1
    return {"visits": flask.session["visits"]}


def main():
    app.begin()
    server.testing = True
    visitors, seen, lost = [server.test_client() for _ in range(5)], [0] * 5, []

    def work(number):
        nth = number % len(visitors)
        visits = visitors[nth].get("/").get_json()["visits"]
        if visits <= seen[nth]:
            lost.append(f"visitor {nth} was at {seen[nth]} visits and is at {visits}")
        seen[nth] = visits

    acknowledged, doubt = app.until_over(work)
    app.finish(len(acknowledged), doubt, lost)


if __name__ == "__main__":
    main()
