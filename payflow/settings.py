"""Every setting of payflow, driven by the environment; docs/configuration.md lists the variables.

What is unset falls back to the embedded servers under PAYFLOW_STATE_DIR (`manage.py services`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import environ
from django.templatetags.static import static

from payflow.lib.env import read_bool, read_int, read_list, read_secret, read_str
from payflow.lib.services import read_urls
from payflow.lib.version import VERSION

BASE_DIR = Path(__file__).resolve().parent.parent
STATE_DIR = Path(read_str("PAYFLOW_STATE_DIR", default=str(BASE_DIR / "var")))
_embedded = read_urls(STATE_DIR)

# --- what it is and who may reach it -------------------------------------------------------------

DEBUG = read_bool("PAYFLOW_DEBUG", default=False)
SECRET_KEY = read_secret("DJANGO_SECRET_KEY", fallback_file=STATE_DIR / "secret-key")
ALLOWED_HOSTS = read_list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = read_list("CSRF_TRUSTED_ORIGINS", default=[])
#: web serves pages, worker drains and runs tasks: only web keeps a pool of connections
ROLE = read_str("PAYFLOW_ROLE", default="worker", choices=("web", "worker"))

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "payflow.apps.PayflowAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
    "rest_framework",
    "knox",
    "payflow.apps.PayflowConfig",
    "configuration",
    "metrics",
    "deadletter",
    "ingestion.apps.IngestionConfig",
]
MIDDLEWARE = [
    "payflow.tracing_middleware.TraceRequests",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "payflow.nul_middleware.RefuseNul",
]
ROOT_URLCONF = "payflow.urls"
WSGI_APPLICATION = "payflow.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = read_str("PAYFLOW_TIME_ZONE", default="UTC")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/static/"
STATIC_ROOT = STATE_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
LOGIN_URL = "admin:login"

# --- PostgreSQL ----------------------------------------------------------------------------------

_database_url = read_str("DATABASE_URL", default=_embedded.database_url if _embedded else "")
#: seconds that a drainer owns a partition without a sign of life
_LEASE_S = read_int("PAYFLOW_LEASE_S", default=10, minimum=3)
#: the transaction of a frozen process ends with its lease: it must not hold rows any longer
_SESSION = {
    "worker": "-c statement_timeout=60s -c lock_timeout=5s "
    f"-c idle_in_transaction_session_timeout={_LEASE_S}s",
    "web": "-c statement_timeout=15s -c lock_timeout=1s",
}
_options: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15000,
    "application_name": f"payflow-{ROLE}",
    "options": _SESSION[ROLE],
}
if ROLE == "web":
    _options["pool"] = {"min_size": 2, "max_size": 10, "max_idle": 300, "timeout": 10}
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        **(environ.Env.db_url_config(_database_url) if _database_url else {}),
        "ENGINE": "django.db.backends.postgresql",
        "CONN_MAX_AGE": 0 if ROLE == "web" else None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": _options,
    }
}

# --- Celery (broker) and streams: two instances --------------------------------------------------

REDIS_URL = read_str("REDIS_URL", default=_embedded.redis_url if _embedded else "")
STREAMS_URL = read_str("STREAMS_URL", default=_embedded.streams_url if _embedded else "")
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {"ingestion.tasks.drain": {"queue": "ingest"}}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = True
#: a process forked after polars was used hangs (docs/adr/0001)
CELERY_WORKER_POOL_START_METHOD = "spawn"
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 3
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 900,
    "global_keyprefix": "payflow:",
    "socket_keepalive": True,
    "socket_timeout": 30,
}
CELERY_BEAT_SCHEDULE_FILENAME = str(STATE_DIR / "beat-schedule")
CELERY_BEAT_SCHEDULE = {
    "dispatch": {
        "task": "ingestion.tasks.dispatch",
        "schedule": 2.0,
        "options": {"expires": 4},
    },
    "follow-shadows": {
        "task": "ingestion.tasks.follow_shadows",
        "schedule": 2.0,
        "options": {"expires": 2},
    },
    "ensure-partitions": {
        "task": "ingestion.tasks.ensure_partitions",
        "schedule": 3600.0,
        "options": {"expires": 600},
    },
    "sweep-pushes": {
        "task": "ingestion.tasks.sweep_pushes",
        "schedule": 600.0,
        "options": {"expires": 300},
    },
    "sweep-sources": {
        "task": "ingestion.tasks.sweep_sources",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "sweep-jobs": {
        "task": "ingestion.tasks.sweep_jobs",
        "schedule": 10.0,
        "options": {"expires": 20},
    },
}

# --- storage -------------------------------------------------------------------------------------

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    "archive": {
        "BACKEND": "payflow.lib.storage.WriteOnceFileStorage",
        "OPTIONS": {
            "location": read_str("PAYFLOW_ARCHIVE_DIR", default=str(STATE_DIR / "archive"))
        },
    },
}

# --- the path ------------------------------------------------------------------------------------

PAYFLOW: dict[str, Any] = {
    "LEASE_S": _LEASE_S,
    #: days that one leaf of the partitioned tables holds
    "PARTITION_DAYS": read_int("PAYFLOW_PARTITION_DAYS", default=7, minimum=1),
    #: days that live messages look back for their duplicates
    "HORIZON_DAYS": read_int("PAYFLOW_HORIZON_DAYS", default=7, minimum=1),
    #: hours after which a drain task ends and is refilled, for memory hygiene
    "SEAT_HOURS": read_int("PAYFLOW_SEAT_HOURS", default=4, minimum=1),
    #: the author of a version cannot make it live: another person does
    "FOUR_EYES": read_bool("PAYFLOW_FOUR_EYES", default=False),
    #: name of what is deployed: a new one is a mark on time axes
    "RELEASE": read_str("PAYFLOW_RELEASE", default=VERSION)[:64],
    #: a directory whose YAML and JSON files are configuration
    "CONFIG_DIR": read_str("PAYFLOW_CONFIG_DIR", default=""),
    #: Azure App Configuration: a connection string, or https://NAME.azconfig.io
    "APPCONFIG": read_str("PAYFLOW_APPCONFIG", default=""),
    "APPCONFIG_LABEL": read_str("PAYFLOW_APPCONFIG_LABEL", default=""),
    "APPCONFIG_KEYS": read_list("PAYFLOW_APPCONFIG_KEYS", default=[]),
    #: seconds between two looks at either
    "CONFIG_INTERVAL_S": read_int("PAYFLOW_CONFIG_INTERVAL_S", default=2, minimum=1, maximum=300),
    #: keys the hashes of bodies in which card data was found
    "SCRUB_KEY": read_secret("PAYFLOW_SCRUB_KEY", fallback_file=STATE_DIR / "scrub-key"),
    #: what Prometheus shows to read /metrics
    "METRICS_TOKEN": read_secret(
        "PAYFLOW_METRICS_TOKEN", fallback_file=STATE_DIR / "metrics-token"
    ),
}

CELERY_BEAT_SCHEDULE |= {
    f"sync-{origin}": {
        "task": "configuration.tasks.sync_configuration",
        "args": [origin],
        "schedule": float(PAYFLOW["CONFIG_INTERVAL_S"]),
        "options": {"expires": 2 * PAYFLOW["CONFIG_INTERVAL_S"]},
    }
    for origin, address in (
        ("directory", PAYFLOW["CONFIG_DIR"]),
        ("app_configuration", PAYFLOW["APPCONFIG"]),
    )
    if address
}

# --- REST API ------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "knox.auth.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["payflow.lib.api.access.Permitted"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [
        "payflow.lib.api.wire.JsonParser",
        "payflow.lib.api.wire.YamlParser",
    ],
    "DEFAULT_PAGINATION_CLASS": "payflow.lib.api.wire.NewestFirst",
    "EXCEPTION_HANDLER": "payflow.lib.api.problems.handle",
}
#: each token says when it ends; the prefix lets scanners find one that leaked
REST_KNOX = {"AUTH_HEADER_PREFIX": "Bearer", "TOKEN_PREFIX": "payflow_"}

# --- browser security ----------------------------------------------------------------------------

_https = read_bool("PAYFLOW_HTTPS", default=False)
SECURE_SSL_REDIRECT = _https
SESSION_COOKIE_SECURE = _https
CSRF_COOKIE_SECURE = _https
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _https
SECURE_HSTS_PRELOAD = _https
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _https else None
SESSION_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
#: probes and Prometheus ask the machine itself, without TLS
SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$", r"^metrics$"]
#: strict; payflow/site.py adds 'unsafe-eval' on the admin's pages alone (docs/adr/0007)
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    },
}
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# --- logs ----------------------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "payflow.lib.logs.JsonFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": read_str("PAYFLOW_LOG_LEVEL", default="INFO")},
    "loggers": {
        "django.request": {"level": "ERROR"},
        # each request, and each failure that is reported once already
        "azure": {"level": "CRITICAL"},
    },
}

# --- the admin's face ----------------------------------------------------------------------------

#: colours: static/payflow/theme.css, since an inline style would need an exception in the policy
UNFOLD = {
    "SITE_TITLE": "payflow",
    "SITE_HEADER": "payflow",
    "SITE_SUBHEADER": "Payment event monitor",
    "SITE_URL": None,
    "SITE_SYMBOL": "waves",
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda _request: static("payflow/favicon.svg"),
        }
    ],
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_HISTORY": False,
    "STYLES": [
        lambda _request: static("payflow/theme.css"),
        lambda _request: static("payflow/payflow.css"),
    ],
    "SCRIPTS": [lambda _request: static("payflow/payflow.js")],
    "DASHBOARD_CALLBACK": "ingestion.views.overview_context",
    "COMMAND": {"search_callback": "ingestion.palette.search"},
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "show_all_applications": False,
        "navigation": "payflow.site.navigation",
    },
}
