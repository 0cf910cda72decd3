"""The one settings file. Everything that differs between installations is an environment variable."""

from __future__ import annotations

from pathlib import Path

from config import env, logs
from tenants.backend.connection import UnitConnection

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = False
SECRET_KEY = env.text("SECRET_KEY", hint="<50 random characters>")
# Former keys: what they signed (cursors, sessions) still holds.
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS", "")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", hint="example.com,.example.com")
PLATFORM_HOSTS = env.words("PLATFORM_HOSTS", "localhost,127.0.0.1")
TRUSTED_PROXIES = env.whole("TRUSTED_PROXIES", 0)

# --- databases: `default` is the application's login; `owner` exists only where migrations and provisioning run
DATABASE_ROLE_PREFIX = env.text("DATABASE_ROLE_PREFIX", "daybook")
# Start-up options are what RESET ALL goes back to: a unit of work may change them for itself alone.
_LIMITS = {
    "timezone": "UTC",
    "statement_timeout": f"{env.whole('STATEMENT_TIMEOUT', 15, least=1)}s",
    "lock_timeout": f"{env.whole('LOCK_TIMEOUT', 5, least=1)}s",
    "idle_in_transaction_session_timeout": "60s",
    # Pages of a trail are short walks along an index: no workers to start, and no disk that has to seek.
    "max_parallel_workers_per_gather": "0",
    "random_page_cost": "1.1",
    # An entry of an index costs a twentieth of a row, measured where both are in memory. By default a hundred and
    # fiftieth: then the planner collects 100,000 of them in a bitmap to save reading 1,000 rows.
    "cpu_index_tuple_cost": "0.05",
}
# How many tenants a database login may serve, and a connection before it is replaced (it grows with each).
TENANTS_PER_LOGIN = env.whole("TENANTS_PER_LOGIN", 500, least=1)
CONNECTION_MAX_TENANTS = env.whole("CONNECTION_MAX_TENANTS", 300, least=1)
_default = env.database("DATABASE_URL")
_POOL_MAX = env.whole("POOL_MAX", 16, least=1)
DATABASES = {
    "default": {
        **_default,
        "ENGINE": "tenants.backend",
        "OPTIONS": {
            **_default["OPTIONS"],  # type: ignore[dict-item]
            "options": " ".join(f"-c {name}={value}" for name, value in _LIMITS.items()),
            "connect_timeout": "5",
            "pool": {
                "min_size": env.whole("POOL_MIN", 1, most=_POOL_MAX),
                "max_size": _POOL_MAX,
                "timeout": 5.0,
                "connection_class": UnitConnection,
            },
        },
    },
}
if env.text("MIGRATION_DATABASE_URL", ""):
    _owner = env.database("MIGRATION_DATABASE_URL")
    DATABASES["owner"] = {**_owner, "ENGINE": "tenants.owner"}
    DATABASE_OWNER_ROLE = str(_owner["USER"])
else:
    DATABASE_OWNER_ROLE = f"{DATABASE_ROLE_PREFIX}_owner"
DATABASE_ROUTERS = ["tenants.shards.UnitRouter", "django_tenants.routers.TenantSyncRouter"]
PUBLIC_SCHEMA_NAME = "shared"
TENANT_DB_ALIAS = "owner" if "owner" in DATABASES else "default"
TENANT_MODEL = "tenants.Tenant"
TENANT_DOMAIN_MODEL = "tenants.Domain"
GET_EXECUTOR_FUNCTION = "tenants.migrator.executor"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MIGRATION_MODULES = {"admin": None}  # Django admin's own log is switched off: our trail replaces it

# --- applications: no application, and so no table name, stands in both lists
SHARED_APPS = [
    "django_tenants",
    "tenants",
    "subscriptions",
    "config",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.admin",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
]
TENANT_APPS = ["audit"]
INSTALLED_APPS = [*SHARED_APPS, *TENANT_APPS]

# What an application caches is kept apart by tenant, in memory; attempts to sign in count in all processes.
CACHES = {
    "default": {
        "BACKEND": "tenants.accounts.cache.Cache",
        "KEY_FUNCTION": "tenants.pinned.cache_key",
    },
}

# --- HTTP
ROOT_URLCONF = "config.urls_platform"
TENANT_URLCONF = "config.urls_tenant"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False
MIDDLEWARE = [
    "config.middleware.RequestLog",
    "tenants.bodies.Bodies",
    "django.middleware.http.ConditionalGetMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "tenants.cross_origin.CrossOrigin",
    "tenants.sessions.Sessions",
    "subscriptions.throttles.BadKeys",
    "tenants.middleware.Gate",
    "subscriptions.throttles.RateLimit",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "tenants.middleware.UnitOfWork",
    "allauth.account.middleware.AccountMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "config" / "templates"],
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
STATIC_URL = "/static/"
# Files of exports: web processes and whoever runs the jobs must see the same ones.
EXPORTS_DIR = env.text("EXPORTS_DIR", str(BASE_DIR / "var" / "exports"))
# How many of them a process sends at a time: who reads slowly holds a thread for as long.
EXPORTS_AT_A_TIME = env.whole("EXPORTS_AT_A_TIME", 3, least=1)
EXPORTS_KEPT_HOURS = env.whole("EXPORTS_KEPT_HOURS", 72, least=1, most=8760)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "exports": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {
            "location": EXPORTS_DIR,
            "file_permissions_mode": 0o600,
            "directory_permissions_mode": 0o700,
        },
    },
}
# Assets are served from where the packages keep them: nothing is collected, so nothing can be forgotten.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024 + 1024
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.flag("SECURE_COOKIES", default=False)

# What the doctor expects to stand in the database: a host application adds what `tenants doctor --record` wrote.
WALLS = [BASE_DIR / "config" / "walls.tsv"]

# Whoever sends it may read /metrics; without one only this machine may.
METRICS_TOKEN = env.text("METRICS_TOKEN", "")

PROBLEM_RENDERER = "config.problems.render"

# --- people
AUTH_USER_MODEL = "tenants.User"
AUTHENTICATION_BACKENDS = ["tenants.authentication.GateBackend"]
SESSION_ENGINE = "tenants.sessions"
SESSION_COOKIE_NAME = "daybook_session"
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/admin/"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
# Pages of accounts, by django-allauth.
ACCOUNT_ADAPTER = "tenants.accounts.adapter.Accounts"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
# Whoever administers has entered the address; to change it takes a link that is sent to the new one.
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_SESSION_REMEMBER = True
# Whoever may not see a page can sign in as somebody else, instead of being led in circles.
ACCOUNT_AUTHENTICATED_LOGIN_REDIRECTS = False
ACCOUNT_LOGOUT_REDIRECT_URL = LOGIN_URL
ACCOUNT_PASSWORD_RESET_TOKEN_GENERATOR = "tenants.accounts.tokens.ResetTokens"  # noqa: S105 - a class
PASSWORD_RESET_TIMEOUT = 60 * 60
MFA_ADAPTER = "tenants.accounts.adapter.SecondFactors"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Daybook"
MFA_TOTP_TOLERANCE = 1
# Addresses were entered by whoever administers, so nobody blocks another's by signing up with it.
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
USERSESSIONS_ADAPTER = "tenants.accounts.adapter.UserSessions"

# Networks in which identity providers may stand although they are not of the open Internet: 10.20.0.0/16, ...
OIDC_ALLOWED_NETWORKS = env.words("OIDC_ALLOWED_NETWORKS", "")

# --- e-mail: invitations are printed unless EMAIL_URL names a server
_mail = env.mail("EMAIL_URL", "console:")
EMAIL_BACKEND = _mail.backend
EMAIL_HOST, EMAIL_PORT = _mail.host, _mail.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail.user, _mail.password
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail.starttls, _mail.tls
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("EMAIL_FROM", "Daybook <daybook@localhost>")

# --- API
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tenants.authentication.CallerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["tenants.permissions.HasRight"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["audit.api.parsers.StrictJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "audit.api.parsers.Negotiation",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "config.problems.handle",
    "UNAUTHENTICATED_USER": None,
    # `format` chooses how entries are shown; DRF would take it for the name of a renderer.
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Daybook",
    "DESCRIPTION": "Who did what to which resource: each tenant's audit trail behind a wall of its own.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "PREPROCESSING_HOOKS": ["config.contract.shape.without_slash"],
    "POSTPROCESSING_HOOKS": ["config.contract.shape.shape"],
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SORT_OPERATIONS": True,
}

# --- text and time
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = False

# --- logs: JSON lines on standard error, with tenant, actor and request id
LOGGING = logs.configure(level=env.choice("LOG_LEVEL", "INFO", of=logs.LEVELS))
LOGGING_CONFIG = None
SILENCED_SYSTEM_CHECKS: list[str] = [
    "admin.E408",  # AuthenticationMiddleware: the gate resolves the caller
    "auth.E003",
    # makemigrations writes captures; migrate, which only tells that something is to be written, is django-tenants' own.
    "commands.E001",
]
