"""Django: a view that counts in the visitor's session and in the cache, both in Redis."""

import app
import django
from django.conf import settings
from django.http import JsonResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="of a test",
    ROOT_URLCONF=__name__,
    CACHES={
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": f"redis://127.0.0.1:{app.PORTS[0]}",
        }
    },
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
)


def visit(request):
    from django.core.cache import cache

    request.session["visits"] = request.session.get("visits", 0) + 1
    cache.add("visits", 0, None)
    return JsonResponse({"visits": request.session["visits"], "all": cache.incr("visits")})


urlpatterns = [path("", visit)]


def main():
    from django.core.cache import cache
    from django.test import Client

    django.setup()
    app.begin()
    visitors, seen, lost = [Client() for _ in range(5)], [0] * 5, []

    def work(number):
        nth = number % len(visitors)
        visits = visitors[nth].get("/").json()["visits"]
        if visits <= seen[nth]:
            lost.append(f"visitor {nth} was at {seen[nth]} visits and is at {visits}")
        seen[nth] = visits

    acknowledged, doubt = app.until_over(work)
    counted = cache.get("visits")
    wrong = [] if counted >= len(acknowledged) else [f"the cache counted {counted}"]
    app.finish(len(acknowledged), doubt, lost, wrong)


if __name__ == "__main__":
    main()
