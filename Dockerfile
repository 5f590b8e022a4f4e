# Any value of OTEL adds the extra for traces, of AZURE that for Azure:
# docker build --build-arg OTEL=1 --build-arg AZURE=1 .
FROM python:3.11-slim-bookworm AS build
ARG OTEL
ARG AZURE
COPY requirements/base.txt requirements/otel.txt requirements/azure.txt /tmp/
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --requirement /tmp/base.txt \
        ${OTEL:+--requirement /tmp/otel.txt} \
        ${AZURE:+--requirement /tmp/azure.txt}

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/payflow --create-home payflow
COPY --from=build /opt/venv /opt/venv
COPY . /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PAYFLOW_STATE_DIR=/var/lib/payflow
WORKDIR /app
# by number: Kubernetes cannot tell from a name that it is not root
USER 10001
VOLUME /var/lib/payflow
EXPOSE 8000
CMD ["gunicorn", "payflow.wsgi", "--worker-class", "gthread", "--threads", "8", "--bind", "0.0.0.0:8000", "--no-control-socket"]
