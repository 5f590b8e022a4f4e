FROM python:3.11-slim-bookworm AS build
COPY requirements/base.txt /tmp/base.txt
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --requirement /tmp/base.txt

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/payflow --create-home payflow
COPY --from=build /opt/venv /opt/venv
COPY . /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PAYFLOW_STATE_DIR=/var/lib/payflow
WORKDIR /app
USER payflow
VOLUME /var/lib/payflow
EXPOSE 8000
CMD ["gunicorn", "payflow.wsgi", "--worker-class", "gthread", "--threads", "8", "--bind", "0.0.0.0:8000", "--no-control-socket"]
